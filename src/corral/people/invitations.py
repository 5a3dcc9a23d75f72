"""Invitations: a link by which one person with a given email joins once.

The user is created when it is redeemed, and chooses the password then: an administrator never has
anything that gives access to another user.
"""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from corral.database.connection import Database, get_connection_with_rls
from corral.identity.models import AuthUser, VerifiedUser
from corral.identity.passwords import hash_password, refuse_weak
from corral.identity.problems import LinkRefused
from corral.identity.queries import FIRST_EPOCH, insert_user, read_clock
from corral.identity.reauthentication import confirmed_connection
from corral.identity.tokens import is_well_formed, new_token, sealed_moment
from corral.logs import get_logger
from corral.people import queries
from corral.people.problems import InvitationNotFound
from corral.people.queries import InvitationRow, PendingInvitation
from corral.secret import Secret
from corral.vault import Vault

LIFETIME = timedelta(days=1)

_log = get_logger()


async def invite(
    administrator: AuthUser, database: Database, vault: Vault, *, email: str, public_url: str
) -> tuple[Secret, PendingInvitation]:
    """Returns the whole link, and the invitation as it is listed. Replaces an earlier one for the same email.

    Raises EmailTaken if a user has this email, and SignInRefused if the administrator's password has changed since
    it was confirmed.
    """
    code = new_token()
    async with confirmed_connection(database, administrator) as connection:
        expires_at = await read_clock(connection) + LIFETIME
        invitation_id = await queries.issue_invitation(
            connection,
            vault.access.verifier("invitation", code),
            vault.access.verifier("invitation_row", code, *_bound(email, administrator.id, expires_at)),
            email=email,
            expires_at=expires_at,
        )
    _log.info("user_invited", user_id=str(administrator.id))
    return Secret(f"{public_url}/invitation#{code}"), PendingInvitation(invitation_id, email, expires_at)


async def revoke_invitation(administrator_id: UUID, database: Database, invitation_id: UUID) -> None:
    """Revokes any administrator's invitation. Raises InvitationNotFound for one that was used, replaced or revoked."""
    async with get_connection_with_rls(administrator_id, database) as connection:
        is_revoked = await queries.revoke_invitation(connection, invitation_id)
    if not is_revoked:
        raise InvitationNotFound
    _log.info("invitation_revoked", user_id=str(administrator_id), invitation_id=str(invitation_id))


async def accept_invitation(database: Database, vault: Vault, *, code: Secret, password: Secret) -> VerifiedUser:
    """Returns the new user. Only one caller succeeds, because invitation and user are changed in one transaction.

    The code is checked before the expensive hashing of the password, and redeemed after it.
    """
    lookups = _lookups(vault, code)
    invitation = _refuse_unbelievable(vault, code, await queries.find_invitation(database, lookups))
    await refuse_weak(password, invitation.email)
    user_id = uuid4()
    password_sealed = await hash_password(vault, user_id, password)
    async with get_connection_with_rls(user_id, database) as connection:
        invitation = _refuse_unbelievable(vault, code, await queries.redeem_invitation(connection, lookups))
        await insert_user(connection, user_id, invitation.email, password_sealed)
    _log.info("user_added", user_id=str(user_id), by=str(invitation.invited_by))
    return VerifiedUser(user_id, FIRST_EPOCH)


def _lookups(vault: Vault, code: Secret) -> list[bytes]:
    if not is_well_formed(code.reveal()):
        raise LinkRefused
    return vault.access.verifiers("invitation", code.reveal())


def _refuse_unbelievable(vault: Vault, code: Secret, row: InvitationRow | None) -> InvitationRow:
    if row is None:
        raise LinkRefused
    bound = _bound(row.email, row.invited_by, row.expires_at)
    if not vault.access.verify(row.seal, "invitation_row", code.reveal(), *bound):
        _log.error("invitation_seal_broken", user_id=str(row.invited_by))
        raise LinkRefused
    return row


def _bound(email: str, invited_by: UUID, expires_at: datetime) -> tuple[str, ...]:
    return email, str(invited_by), sealed_moment(expires_at)
