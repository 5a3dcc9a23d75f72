"""Tokens that Corral hands out, and the keyed hashes by which their rows are found and believed.

The format is `corral_` + 32 base62 characters (190 bits) + a 6-character checksum, for API tokens, sessions and
one-time links alike. The prefix lets secret scanners find a leaked one. The checksum lets them, and us, recognize a
mistyped or truncated one without asking the database.

A row is found by one keyed hash of the token. A second one, its seal, binds all that the row grants: whoever can write
to the database but has no keyring can neither make a row nor move, widen or prolong one.
"""

import re
import secrets
import string
import zlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from corral.edge.field_types import in_utc
from corral.identity.queries import SessionRow, TokenRow
from corral.logs import get_logger
from corral.vault import Vault

PREFIX = "corral_"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_LENGTH = 32
_CHECKSUM_LENGTH = 6
_FORM = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})", re.ASCII)

_log = get_logger()


def new_token() -> str:
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    return f"{PREFIX}{secret}{_checksum(secret)}"


def is_well_formed(token: str) -> bool:
    found = _FORM.fullmatch(token)
    return found is not None and _checksum(found[1]) == found[2]


def sealed_moment(moment: datetime) -> str:
    """An expiry as a seal binds it."""
    return in_utc(moment).isoformat()


def session_lookups(vault: Vault, cookie_value: str) -> list[bytes]:
    """By every key of the keyring, so that a rotation ends no session."""
    return vault.verifiers("session", cookie_value)


def session_verifiers(
    vault: Vault, cookie_value: str, *, user_id: UUID, session_id: UUID, expires_at: datetime
) -> tuple[bytes, bytes]:
    """Look-up and seal of a new session's row."""
    bound = _bound_session(user_id, session_id, expires_at)
    return vault.verifier("session", cookie_value), vault.verifier("session_row", cookie_value, *bound)


def is_sealed_session(vault: Vault, cookie_value: str, row: SessionRow) -> bool:
    """Whether the row says what it said when it was made."""
    if vault.verify(row.seal, "session_row", cookie_value, *_bound_session(row.user_id, row.id, row.expires_at)):
        return True
    _log.error("session_seal_broken", session_id=str(row.id), user_id=str(row.user_id))
    return False


def token_lookups(vault: Vault, token: str) -> list[bytes]:
    """By every key of the keyring, so that a rotation ends no token."""
    return vault.verifiers("api_token", token)


def token_verifiers(
    vault: Vault, token: str, *, user_id: UUID, token_id: UUID, scopes: Sequence[str], expires_at: datetime | None
) -> tuple[bytes, bytes]:
    """Look-up and seal of a new token's row."""
    bound = _bound_token(user_id, token_id, scopes, expires_at)
    return vault.verifier("api_token", token), vault.verifier("api_token_row", token, *bound)


def is_sealed_token(vault: Vault, token: str, row: TokenRow) -> bool:
    """Whether the row grants what it granted when it was made."""
    if vault.verify(row.seal, "api_token_row", token, *_bound_token(row.user_id, row.id, row.scopes, row.expires_at)):
        return True
    _log.error("api_token_seal_broken", token_id=str(row.id), user_id=str(row.user_id))
    return False


def admin_seal(vault: Vault, user_id: UUID) -> bytes:
    return vault.verifier("administrator", str(user_id))


def is_administrator(vault: Vault, user_id: UUID, seal: bytes | None) -> bool:
    """Not by a seal that was written by hand, or is another person's."""
    if seal is None:
        return False
    if vault.verify(seal, "administrator", str(user_id)):
        return True
    _log.error("admin_seal_broken", user_id=str(user_id))
    return False


def _bound_session(user_id: UUID, session_id: UUID, expires_at: datetime) -> tuple[str, ...]:
    return str(user_id), str(session_id), sealed_moment(expires_at)


def _bound_token(user_id: UUID, token_id: UUID, scopes: Sequence[str], expires_at: datetime | None) -> tuple[str, ...]:
    return str(user_id), str(token_id), " ".join(scopes), sealed_moment(expires_at) if expires_at else "never"


def _checksum(secret: str) -> str:
    """CRC-32 in base62; it guards against typing errors only, so it need not be keyed."""
    number = zlib.crc32(secret.encode())
    digits: list[str] = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
