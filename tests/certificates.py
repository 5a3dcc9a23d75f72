"""Certificates for tests, made by the openssl program."""

import ssl
import subprocess
from pathlib import Path

from corral.edge.certificate import TlsFiles


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def new_certificate(files: TlsFiles, *names: str, days: int = 30) -> TlsFiles:
    """Makes a self-signed certificate for names such as "DNS:corral.test" or "IP:127.0.0.1"."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", files.key)
    what = ("-days", days, "-subj", "/CN=Corral", "-addext", f"subjectAltName={','.join(names or ('IP:127.0.0.1',))}")
    openssl("req", "-x509", *key, *what, "-out", files.certificate)
    files.key.chmod(0o600)
    return files


def expired_certificate(files: TlsFiles, *names: str) -> TlsFiles:
    """Makes one that ended in 2020."""
    new_certificate(files, *names)
    folder = files.certificate.parent
    (folder / "index.txt").touch()
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=own\n[own]\ndatabase={folder}/index.txt\nnew_certs_dir={folder}\ndefault_md=sha256\n"
        "rand_serial=yes\npolicy=any\ncopy_extensions=copy\n[any]\ncommonName=supplied\n"
    )
    request = folder / "request.pem"
    openssl(
        "x509", "-x509toreq", "-copy_extensions", "copy", "-in", files.certificate, "-key", files.key, "-out", request
    )
    dates = ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z")
    signing = ("-selfsign", "-keyfile", files.key, "-in", request, "-out", files.certificate, "-notext")
    openssl("ca", "-batch", "-config", folder / "ca.cnf", *signing, *dates)
    return files


def files_in(folder: Path, name: str = "corral") -> TlsFiles:
    folder.mkdir(exist_ok=True)
    return TlsFiles(folder / f"{name}.pem", folder / f"{name}-key.pem")


def trusting(files: TlsFiles) -> ssl.SSLContext:
    """A client that trusts the certificate that is there now."""
    return ssl.create_default_context(cafile=str(files.certificate))
