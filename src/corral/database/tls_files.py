"""The files that a database's address names: looked at beforehand, for the driver tells of none that it cannot use."""

import ssl
import stat
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_NAMED = ("sslrootcert", "sslcrl", "sslcert", "sslkey", "passfile")


def unusable_file(dsn: str) -> str | None:
    """What is wrong with the first one that cannot be used; None when all can. Raises ValueError for no address."""
    named = {name: values[-1] for name, values in parse_qs(urlsplit(dsn).query).items() if name in _NAMED}
    for name, path in named.items():
        if wrong := _unreadable(Path(path)) or _meaningless(name, path):
            return f"its {name}, {path}, {wrong}"
    return None


def _unreadable(path: Path) -> str | None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "is not a regular file"
        with path.open("rb"):
            return None
    except OSError as error:
        return f"cannot be read ({(error.strerror or '').lower()})"


def _meaningless(name: str, path: str) -> str | None:
    is_pem = True
    if name == "sslkey":
        is_pem = b"PRIVATE KEY-----" in Path(path).read_bytes()  # loading it could ask for its password
    elif name != "passfile":
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except ssl.SSLError:
            is_pem = False
    return None if is_pem else "is not in PEM format"
