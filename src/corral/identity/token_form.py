"""The form of everything secret that Corral issues: a prefix, random base62 characters, and their checksum.

The prefix lets secret scanners find a leaked one. The checksum lets them, and us, recognize a mistyped or truncated one
without asking the database.
"""

import secrets
import string
import zlib
from dataclasses import dataclass
from typing import Final

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECKSUM_LENGTH: Final = 6


@dataclass(frozen=True, slots=True)
class TokenForm:
    """`prefix` + `secret_length` base62 characters (5.95 bits each) + a 6-character checksum."""

    prefix: str
    secret_length: int

    def new(self) -> str:
        secret = "".join(secrets.choice(_ALPHABET) for _ in range(self.secret_length))
        return f"{self.prefix}{secret}{_checksum(secret)}"

    def is_well_formed(self, text: str) -> bool:
        body = text.removeprefix(self.prefix)
        return (
            text.startswith(self.prefix)
            and len(body) == self.secret_length + _CHECKSUM_LENGTH
            and body.isascii()
            and body.isalnum()
            and _checksum(body[: self.secret_length]) == body[self.secret_length :]
        )


def _checksum(secret: str) -> str:
    """CRC-32 in base62. It detects typing errors only, so it need not be keyed."""
    number = zlib.crc32(secret.encode())
    digits: list[str] = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
