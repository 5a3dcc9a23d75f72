"""Tokens issued by Corral, the keyed hashes that find and verify their rows, and authentication by them.

The format is `corral_` + 32 base62 characters (190 bits) + a 6-character checksum, for API tokens, sessions and
one-time links alike.

A row is found by one keyed hash of the token. A second one, its seal, covers everything that the row grants: without
the keyring, write access to the database is not enough to create, move, extend or prolong one.
"""

import secrets
import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final, final
from uuid import UUID

from starlette.requests import Request

from corral.database.batching import BatchedLookup, WriteBehindBuffer
from corral.database.connection import Database
from corral.edge.field_types import in_utc
from corral.identity import queries
from corral.identity.models import ALL_SCOPES, AuthUser, Scope, is_idle_too_long, scopes_from_stored
from corral.identity.problems import InsufficientScope, Unauthenticated
from corral.identity.queries import SessionRow, TokenRow
from corral.logs import get_logger
from corral.vault import Vault

# The precision of "last seen" and "last used", so that not every request causes a write.
TOUCH_AFTER = timedelta(minutes=1)

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECKSUM_LENGTH: Final = 6

_log = get_logger()


@dataclass(frozen=True, slots=True)
class TokenForm:
    """The form of everything secret that Corral issues, also of what grants have.

    `prefix` + `secret_length` base62 characters (5.95 bits each) + a 6-character checksum. The prefix lets secret
    scanners find a leaked one. The checksum lets them, and us, recognize a mistyped or truncated one without asking the
    database.
    """

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


_FORM: Final = TokenForm("corral_", 32)
MOST_PROVED: Final = 256  # rows; then it begins anew


@dataclass(frozen=True, slots=True)
class Presented:
    """The credential of a request's caller: an API token or a session cookie."""

    is_session: bool
    value: str = field(repr=False)
    lookups: list[bytes] = field(repr=False)  # by each key of the keyring


@final
class Authenticator:
    """Finds the user of a token or session cookie. Lives as long as the process, and asks the database each time.

    It remembers what it has proved: a row that is read again as it was read before has the seal that it had before.
    """

    def __init__(self, database: Database, vault: Vault, *, cookie_name: str) -> None:
        self._cookie_name = cookie_name
        self._vault = vault
        self._find_session = BatchedLookup(database, queries.find_sessions)
        self._find_token = BatchedLookup(database, queries.find_api_tokens)
        self._seen = WriteBehindBuffer(partial(queries.note_sessions_seen, database))
        self._used = WriteBehindBuffer(partial(queries.note_api_tokens_used, database))
        self._proved: dict[bytes, tuple[SessionRow | TokenRow, AuthUser]] = {}  # by the seal

    def presented(self, request: Request) -> Presented:
        """Raises Unauthenticated. With an Authorization header the cookie is ignored."""
        authorization = request.headers.get("authorization")
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise Unauthenticated
            return self._presented_token(token.strip())
        cookie = request.cookies.get(self._cookie_name)
        if cookie is None:
            raise Unauthenticated
        return self._presented_session(cookie)

    async def authenticate(self, presented: Presented) -> AuthUser:
        """Returns the user, as currently stored in the database. Raises Unauthenticated."""
        find = self._find_session if presented.is_session else self._find_token
        for lookup in presented.lookups:
            if row := await find(lookup):
                return self.verify(presented, row)
        raise Unauthenticated

    def verify(self, presented: Presented, row: SessionRow | TokenRow) -> AuthUser:
        """Returns the user of a row that was loaded for this request. Raises Unauthenticated if its seal is invalid, or
        the session has been idle for too long.
        """
        if isinstance(row, SessionRow) and is_idle_too_long(row.rested):
            raise Unauthenticated
        user = self._user_of(presented, row)
        if row.rested is None or row.rested > TOUCH_AFTER:
            (self._seen if presented.is_session else self._used).add((row.user_id, row.id))
        return user

    def _user_of(self, presented: Presented, row: SessionRow | TokenRow) -> AuthUser:
        proved = self._proved.get(row.seal)
        if proved is not None and (proved[0] is row or proved[0] == row) and row.lookup in presented.lookups:
            return proved[1]
        if isinstance(row, SessionRow):
            user = self._verify_session(presented.value, row)
        else:
            user = self._verify_token(presented.value, row)
        if len(self._proved) >= MOST_PROVED:
            self._proved.clear()
        self._proved[row.seal] = row, user
        return user

    async def authenticate_token(self, token: str) -> AuthUser:
        return await self.authenticate(self._presented_token(token))

    async def authenticate_session(self, cookie_value: str) -> AuthUser:
        return await self.authenticate(self._presented_session(cookie_value))

    async def close(self) -> None:
        await self._seen.close()
        await self._used.close()

    def _presented_token(self, token: str) -> Presented:
        if not is_well_formed(token):
            raise Unauthenticated
        return Presented(is_session=False, value=token, lookups=token_lookups(self._vault, token))

    def _presented_session(self, cookie_value: str) -> Presented:
        if not is_well_formed(cookie_value):
            raise Unauthenticated
        return Presented(is_session=True, value=cookie_value, lookups=session_lookups(self._vault, cookie_value))

    def _verify_token(self, token: str, row: TokenRow) -> AuthUser:
        if not is_sealed_token(self._vault, token, row):
            raise Unauthenticated
        scopes = scopes_from_stored(tuple(row.scopes))
        return AuthUser(row.user_id, row.email, scopes, "token", row.id, row.expires_at, row.lookup)

    def _verify_session(self, cookie_value: str, row: SessionRow) -> AuthUser:
        if not is_sealed_session(self._vault, cookie_value, row):
            raise Unauthenticated
        may_administer = is_administrator(self._vault, row.user_id, row.admin_seal)
        return AuthUser(
            row.user_id, row.email, ALL_SCOPES, "session", row.id, row.expires_at, row.lookup, may_administer
        )


def require_scope(user: AuthUser, scope: Scope) -> AuthUser:
    """Returns the user. Raises InsufficientScope."""
    if scope not in user.scopes:
        raise InsufficientScope(f"This API token lacks the scope {scope}.", scope=scope.value)
    return user


def new_token() -> str:
    return _FORM.new()


def is_well_formed(token: str) -> bool:
    return _FORM.is_well_formed(token)


def _checksum(secret: str) -> str:
    """CRC-32 in base62. It detects typing errors only, so it need not be keyed."""
    number = zlib.crc32(secret.encode())
    digits: list[str] = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def sealed_moment(moment: datetime) -> str:
    """The expiration time in the form that seals cover."""
    return in_utc(moment).isoformat()


def session_lookups(vault: Vault, cookie_value: str) -> list[bytes]:
    """Returns a hash by each key of the keyring, so that a key rotation ends no session."""
    return vault.access.verifiers("session", cookie_value)


def session_verifiers(
    vault: Vault, cookie_value: str, *, user_id: UUID, session_id: UUID, expires_at: datetime
) -> tuple[bytes, bytes]:
    """Returns look-up hash and seal of a new session's row."""
    bound = _bound_session(user_id, session_id, expires_at)
    return vault.access.verifier("session", cookie_value), vault.access.verifier("session_row", cookie_value, *bound)


def is_sealed_session(vault: Vault, cookie_value: str, row: SessionRow) -> bool:
    """Whether the row is unchanged since it was created."""
    if vault.access.verify(row.seal, "session_row", cookie_value, *_bound_session(row.user_id, row.id, row.expires_at)):
        return True
    _log.error("session_seal_broken", session_id=str(row.id), user_id=str(row.user_id))
    return False


def token_lookups(vault: Vault, token: str) -> list[bytes]:
    """Returns a hash by each key of the keyring, so that a key rotation ends no token."""
    return vault.access.verifiers("api_token", token)


def token_verifiers(
    vault: Vault, token: str, *, user_id: UUID, token_id: UUID, scopes: Sequence[str], expires_at: datetime | None
) -> tuple[bytes, bytes]:
    """Returns look-up hash and seal of a new token's row."""
    bound = _bound_token(user_id, token_id, scopes, expires_at)
    return vault.access.verifier("api_token", token), vault.access.verifier("api_token_row", token, *bound)


def is_sealed_token(vault: Vault, token: str, row: TokenRow) -> bool:
    """Whether the row is unchanged in what it grants since it was created."""
    if vault.access.verify(
        row.seal, "api_token_row", token, *_bound_token(row.user_id, row.id, row.scopes, row.expires_at)
    ):
        return True
    _log.error("api_token_seal_broken", token_id=str(row.id), user_id=str(row.user_id))
    return False


def admin_seal(vault: Vault, user_id: UUID) -> bytes:
    return vault.verifier("administrator", str(user_id))


def is_administrator(vault: Vault, user_id: UUID, seal: bytes | None) -> bool:
    """Rejects a seal that was written by hand or copied from another user."""
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
