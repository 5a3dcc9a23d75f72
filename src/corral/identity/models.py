"""Who is asking, and who was let in a moment ago."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from corral.errors import Problem
from corral.identity.problems import SignInRefused
from corral.identity.scopes import Scope


@dataclass(frozen=True, slots=True)
class LetIn:
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

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes
