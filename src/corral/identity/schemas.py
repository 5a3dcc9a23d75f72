"""Request and response models of identity. No response has a field for a secret, except that of a new token."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from corral.edge.field_types import Body, Email, FutureTime, Name, SecretText, UtcTime
from corral.identity import security_events
from corral.identity.models import AuthUser, Scope
from corral.identity.security_events import Kind, MadeBy


class SignIn(Body):
    email: Email
    password: SecretText


class LinkSignIn(Body):
    token: SecretText


class SetUp(Body):
    token: SecretText
    email: Email
    password: SecretText


class PasswordChange(Body):
    current_password: SecretText | None = None
    new_password: SecretText


class Recovery(Body):
    token: SecretText
    new_password: SecretText


class NewToken(Body):
    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1)] | None = Field(
        default=None, description="Without scopes the token has full access."
    )
    expires_at: FutureTime | None = None


class Me(BaseModel):
    id: UUID
    email: str
    scopes: list[Scope]
    authenticated_by: Literal["session", "token"]
    is_administrator: bool = Field(description="Can invite and disable members. API tokens can't.")
    expires_at: UtcTime | None


def me_of(user: AuthUser) -> Me:
    return Me(
        id=user.id,
        email=user.email,
        scopes=sorted(user.scopes),
        authenticated_by=user.authenticated_by,
        is_administrator=user.is_administrator,
        expires_at=user.expires_at,
    )


class AccountEvent(BaseModel):
    kind: Kind
    made_by: MadeBy
    address: str | None = Field(description="The network address it came from; null if unknown or a local proxy")
    device: str | None = Field(description="Derived from the User-Agent header.")
    subject: str | None = Field(description="The name of the API token, if it is about one.")
    happened_at: UtcTime


class AccountEventList(BaseModel):
    items: list[AccountEvent]


def event_of(event: security_events.SecurityEvent) -> AccountEvent:
    return AccountEvent(
        kind=event.kind,
        made_by=event.source.made_by,
        address=event.source.address or None,
        device=event.source.device or None,
        subject=event.subject or None,
        happened_at=event.happened_at,
    )


class Session(BaseModel):
    id: UUID
    device: str = Field(description="Derived from the User-Agent header.", examples=["Firefox on Linux"])
    is_current: bool = Field(description="Whether it is the session of this request.")
    is_idle: bool = Field(description="Unused for so long that it has ended. A stream that it opened may continue.")
    created_at: UtcTime
    last_seen_at: UtcTime
    expires_at: UtcTime


class SessionList(BaseModel):
    items: list[Session]


class Token(BaseModel):
    id: UUID
    name: str
    scopes: list[str] = Field(description='`["*"]` for full access.')
    created_at: UtcTime
    expires_at: UtcTime | None
    last_used_at: UtcTime | None


class CreatedToken(Token):
    token: str = Field(description="The token itself. Shown only here.")


class TokenList(BaseModel):
    items: list[Token]
