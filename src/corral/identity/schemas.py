"""Wire models of identity. No response has a field that could hold a secret, but the one that hands a token out."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from corral.edge.fields import Body, Email, FutureTime, Name, SecretText, UtcTime
from corral.identity.scopes import Scope


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


class NewToken(Body):
    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1)] | None = Field(
        default=None, description="Without scopes the token may do all that its owner may over the API."
    )
    expires_at: FutureTime | None = None


class Me(BaseModel):
    id: UUID
    email: str
    scopes: list[Scope]
    authenticated_by: Literal["session", "token"]
    expires_at: UtcTime | None


class Token(BaseModel):
    id: UUID
    name: str
    scopes: list[str] = Field(description='`["*"]`: all that its owner may do.')
    created_at: UtcTime
    expires_at: UtcTime | None
    last_used_at: UtcTime | None


class CreatedToken(Token):
    token: str = Field(description="The token itself. Shown here and never again.")


class TokenList(BaseModel):
    items: list[Token]
