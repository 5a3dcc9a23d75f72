"""The form of what Corral hands out: `corral_` + 32 base62 characters (190 bits) + a 6-character checksum.

The prefix lets secret scanners find a leaked one, and the checksum lets them, and us, tell a mistyped
or truncated one without asking the database. Sessions and one-time links have the same form.
"""

import re
import secrets
import string
import zlib
from datetime import datetime

from corral.edge.field_types import in_utc

PREFIX = "corral_"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_LENGTH = 32
_CHECKSUM_LENGTH = 6
_FORM = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})", re.ASCII)


def new_token() -> str:
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    return f"{PREFIX}{secret}{_checksum(secret)}"


def is_well_formed(token: str) -> bool:
    found = _FORM.fullmatch(token)
    return found is not None and _checksum(found[1]) == found[2]


def sealed_moment(moment: datetime) -> str:
    """An expiry as a seal binds it."""
    return in_utc(moment).isoformat()


def _checksum(secret: str) -> str:
    """CRC-32 in base62; it guards against typing errors only, so it need not be keyed."""
    number = zlib.crc32(secret.encode())
    digits: list[str] = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
