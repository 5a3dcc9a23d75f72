"""The scopes of API tokens (in alphabetical order), and authenticated users."""

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
    AUDIT_READ = "audit:read"
    CREDENTIALS_READ = "credentials:read"
    CREDENTIALS_WRITE = "credentials:write"
    GRANTS_READ = "grants:read"
    GRANTS_WRITE = "grants:write"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"


ALL_SCOPES = frozenset(Scope)

# Stored in place of a list: full access to the API, now and in later releases, but for what has to be named.
EVERYTHING = "*"

# A grant outlives the token that made it and trades on its own, and the audit trail says from where its owner signs in
# and what every other program of theirs does: no token may have these unless somebody said so.
TO_BE_NAMED = frozenset({Scope.GRANTS_READ, Scope.GRANTS_WRITE, Scope.AUDIT_READ})


@lru_cache(maxsize=256)
def scopes_from_stored(stored: tuple[str, ...]) -> frozenset[Scope]:
    """A scope unknown to this release grants nothing."""
    named = frozenset(scope for scope in Scope if scope in stored)
    return named | (ALL_SCOPES - TO_BE_NAMED) if EVERYTHING in stored else named


# The idle timeout of sessions (OWASP Session Management). It suits a page that is viewed all day.
IDLE: Final = timedelta(minutes=30)


def is_idle_too_long(rested: timedelta) -> bool:
    return rested > IDLE


@dataclass(frozen=True, slots=True)
class VerifiedUser:
    """A user who has just proved their identity. A session is created only while their `access_epoch` is unchanged:

    a new password, or being disabled, invalidates the proof. Then `refusal` is raised, as for a failed proof.
    """

    user_id: UUID
    access_epoch: int
    refusal: type[Problem] = SignInRefused


@dataclass(frozen=True, slots=True)
class AuthUser:
    """A user, or a user's program, authenticated by this request. Never kept beyond the request."""

    id: UUID
    email: str
    scopes: frozenset[Scope]
    authenticated_by: Literal["session", "token"]
    session_or_token_id: UUID
    expires_at: datetime | None  # of the session or token
    lookup: bytes = field(repr=False)  # the keyed hash by which its row is found
    is_administrator: bool = False  # in this request; a token's never is
