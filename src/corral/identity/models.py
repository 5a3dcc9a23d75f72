"""What a token may be allowed to do. Keep the list alphabetical.

Who is asking, and who was let in a moment ago.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final, Literal
from uuid import UUID

from corral.errors import Problem
from corral.identity.problems import SignInRefused


class Scope(StrEnum):
    ACCOUNTS_READ = "accounts:read"
    CREDENTIALS_READ = "credentials:read"
    CREDENTIALS_WRITE = "credentials:write"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"


ALL_SCOPES = frozenset(Scope)

# Stored in place of a list: all that the owner may do over the API, now and in later releases.
EVERYTHING = "*"


@lru_cache(maxsize=256)
def scopes_from_stored(stored: tuple[str, ...]) -> frozenset[Scope]:
    """A name that this release does not know grants nothing."""
    return ALL_SCOPES if EVERYTHING in stored else frozenset(scope for scope in Scope if scope in stored)


# A session that was not used for so long is over (OWASP Session Management). It suits a page that is looked at all day.
IDLE: Final = timedelta(minutes=30)


def is_idle_too_long(rested: timedelta) -> bool:
    return rested > IDLE


@dataclass(frozen=True, slots=True)
class VerifiedUser:
    """A person who has just proved who they are. A session is made of it only while `access_epoch` is still theirs:

    a new password, or being disabled, ends what the proof was worth. Then `refusal` is the answer, the same as for a
    proof that fails.
    """

    user_id: UUID
    access_epoch: int
    refusal: type[Problem] = SignInRefused


@dataclass(frozen=True, slots=True)
class AuthUser:
    """A person, or a program of theirs, as this one request proved it. Never kept beyond the request."""

    id: UUID
    email: str
    scopes: frozenset[Scope]
    authenticated_by: Literal["session", "token"]
    session_or_token_id: UUID
    expires_at: datetime | None  # of the session or token
    lookup: bytes = field(repr=False)  # the keyed hash by which its row is found again
    is_administrator: bool = False  # in this request; a token's never is
