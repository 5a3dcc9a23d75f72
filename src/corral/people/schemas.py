"""Request and response models of people. None contains what a member stored."""

from uuid import UUID

from pydantic import BaseModel, Field

from corral.edge.field_types import Body, Email, SecretText, UtcTime


class NewInvitation(Body):
    email: Email
    current_password: SecretText | None = Field(default=None, description="The administrator's own password.")


class PasswordConfirmation(Body):
    current_password: SecretText | None = Field(default=None, description="The administrator's own password.")


class InvitationAcceptance(Body):
    token: SecretText
    password: SecretText


class CreatedInvitation(BaseModel):
    id: UUID
    email: str
    expires_at: UtcTime
    link: str = Field(description="The one-time link. Shown only here.")


class Invitation(BaseModel):
    id: UUID
    email: str
    expires_at: UtcTime


class Person(BaseModel):
    id: UUID
    email: str
    is_administrator: bool
    created_at: UtcTime
    disabled_at: UtcTime | None


class People(BaseModel):
    items: list[Person]
    invitations: list[Invitation] = Field(description="Invitations that have not been accepted.")
