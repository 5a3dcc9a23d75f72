"""Which certificates and keys are refused, each in one line that says what to do."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from corral.edge.certificate import CertificateUnusable, TlsFiles, load_certificate
from tests.certificates import expired_certificate, files_in, new_certificate, openssl
from tests.machine import OPENSSL

pytestmark = OPENSSL.mark


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return new_certificate(files_in(tmp_path), "DNS:nas.local", "IP:192.0.2.7", "DNS:*.corral.test")


def encrypt(files: TlsFiles) -> None:
    plain = files.key.with_suffix(".plain")
    files.key.rename(plain)
    openssl("pkey", "-in", plain, "-aes256", "-passout", "pass:hunter2", "-out", files.key)


def take_another_key(files: TlsFiles) -> None:
    files.key.write_bytes(new_certificate(files_in(files.key.parent / "other")).key.read_bytes())


def swap(files: TlsFiles) -> None:
    certificate, key = files.certificate.read_bytes(), files.key.read_bytes()
    files.certificate.write_bytes(key)
    files.key.write_bytes(certificate)


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def issue_for_clients(files: TlsFiles) -> None:
    openssl(
        *("req", "-x509", "-key", files.key, "-out", files.certificate, "-subj", "/CN=Corral"),
        *("-addext", "extendedKeyUsage=clientAuth", "-addext", "subjectAltName=DNS:nas.local"),
    )


UNUSABLE: dict[str, tuple[Callable[[TlsFiles], object], str]] = {
    "no certificate file": (lambda files: files.certificate.unlink(), "cannot be read (no such file or directory)"),
    "no key file": (lambda files: files.key.unlink(), "cannot be read (no such file or directory)"),
    "a directory for the certificate": (lambda files: make_directory(files.certificate), "is a directory"),
    "a directory for the key": (lambda files: make_directory(files.key), "is a directory"),
    "a pipe for the key": (lambda files: make_pipe(files.key), "is no regular file"),
    "a key that everybody may read": (lambda files: files.key.chmod(0o644), "chmod o-rwx,g-w"),
    "a key that a group may change": (lambda files: files.key.chmod(0o660), "chmod o-rwx,g-w"),
    "an encrypted key": (encrypt, "is encrypted, and Corral takes no passphrase: decrypt it with `openssl pkey"),
    "another key": (take_another_key, "does not belong to the certificate"),
    "each in the other's place": (swap, "holds no certificate"),
    "an empty key": (lambda files: files.key.write_bytes(b""), "holds no private key"),
    "half a key": (
        lambda files: files.key.write_bytes(files.key.read_bytes()[:80]),
        "cannot be used",
    ),
    "half a certificate": (
        lambda files: files.certificate.write_bytes(files.certificate.read_bytes()[:300]),
        "holds no certificate",
    ),
    "nonsense for a certificate": (
        lambda files: files.certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "cannot be used",
    ),
    "a certificate for clients": (issue_for_clients, "would be refused by every client"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_pair_that_cannot_be_used_is_refused_in_one_line(what: str, files: TlsFiles) -> None:
    spoil, reported = UNUSABLE[what]
    key = files.key.read_text().splitlines()[1]
    spoil(files)
    with pytest.raises(CertificateUnusable) as unusable:
        load_certificate(files)
    assert reported in str(unusable.value)
    assert "\n" not in str(unusable.value)
    assert key not in str(unusable.value)


def test_a_group_may_read_the_key(files: TlsFiles) -> None:
    files.key.chmod(0o640)
    assert load_certificate(files).names == ("nas.local", "192.0.2.7", "*.corral.test")


def test_both_may_be_in_one_file(files: TlsFiles) -> None:
    """As HAProxy has them, in either order."""
    files.key.write_bytes(files.key.read_bytes() + files.certificate.read_bytes())
    assert load_certificate(TlsFiles(files.key, files.key)).names[0] == "nas.local"


@pytest.mark.parametrize(
    ("host", "is_accepted"),
    [
        *(("nas.local", True), ("NAS.local", True), ("192.0.2.7", True), ("a.corral.test", True)),
        *(("192.0.2.8", False), ("nas", False), ("a.b.corral.test", False), ("Corral", False)),
    ],
)
def test_the_names_are_judged_as_clients_do(host: str, is_accepted: bool, files: TlsFiles) -> None:  # noqa: FBT001
    problem = load_certificate(files).problem(host, datetime.now(UTC))
    assert problem is None if is_accepted else f"and not for {host}" in str(problem)


def test_the_days_left_are_told_and_the_last_tenth_is_a_problem(files: TlsFiles) -> None:
    certificate = load_certificate(files)
    assert certificate.validity(certificate.expires_at - timedelta(days=29, hours=1)).endswith(" 29 days left")
    assert certificate.validity(certificate.expires_at - timedelta(hours=5)).endswith(" 5 hours left")
    for left, reported in ((4, None), (2, "it expires on"), (-1, "it expired on"), (31, "is valid from")):
        problem = certificate.problem("nas.local", certificate.expires_at - timedelta(days=left))
        assert problem is None if reported is None else reported in str(problem)


def test_an_expired_certificate_is_read_and_called_so(tmp_path: Path) -> None:
    """Corral starts with it: the clock of a small computer may not be set yet."""
    certificate = load_certificate(expired_certificate(files_in(tmp_path), "DNS:nas.local"))
    assert certificate.problem("nas.local", datetime.now(UTC)) == "it expired on 2020-02-01 00:00 UTC: renew it"
