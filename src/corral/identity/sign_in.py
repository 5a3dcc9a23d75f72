"""Signing in, with a password or by a one-time link; the first user; a new password."""

from uuid import UUID, uuid4

from corral.audit.models import ANYONE, Action
from corral.audit.trail import AuditTrail
from corral.database.connection import Database, get_connection_with_rls
from corral.identity import queries
from corral.identity.links import link_lookups, refuse_unbelievable
from corral.identity.models import AuthUser, VerifiedUser
from corral.identity.passwords import hash_password, is_password_of, refuse_weak
from corral.identity.problems import AlreadySetUp, LinkRefused, SignInRefused
from corral.identity.reauthentication import confirm_password, confirmed_connection
from corral.identity.security_events import ChangeSource, note_event
from corral.identity.throttling import FREE_ATTEMPTS_PER_ACCOUNT, FREE_ATTEMPTS_PER_ADDRESS, admit_attempt
from corral.identity.tokens import admin_seal
from corral.logs import get_logger
from corral.secret import Secret
from corral.vault import Vault

_log = get_logger()


async def check_password(
    database: Database, vault: Vault, audit: AuditTrail, *, email: str, password: Secret, peer: str | None
) -> VerifiedUser:
    """Returns the user with this email and password.

    Attempts are counted in the database before the password is checked, by account and by the peer's
    network address (None: unknown, or that of a proxy, which would throttle all users at once).
    Unknown and disabled users, and those without a password, get the same error after the same time.
    """
    account_key = vault.verifier("sign_in_account", email)
    await admit_attempt(database, account_key, FREE_ATTEMPTS_PER_ACCOUNT)
    address_key = vault.verifier("sign_in_address", peer) if peer is not None else None
    if address_key is not None:
        await admit_attempt(database, address_key, FREE_ATTEMPTS_PER_ADDRESS)
    user = await queries.find_user_by_email(database, email)
    matches = await is_password_of(vault, user.id if user else None, user.password_sealed if user else None, password)
    if user is None or not matches or user.disabled_at is not None:
        _log.warning("sign_in_refused", user_id=str(user.id) if user else None)
        if user is not None:
            audit.count_refusal(user.id, Action.SIGN_IN_REFUSED, ANYONE, SignInRefused.code, address=peer or "")
        raise SignInRefused
    await queries.forget_sign_in_attempts(database, account_key)
    if address_key is not None:
        await queries.forget_sign_in_attempts(database, address_key)
    return VerifiedUser(user.id, user.access_epoch)


async def redeem_sign_in_link(database: Database, vault: Vault, code: Secret) -> VerifiedUser:
    lookups = link_lookups(vault, "sign_in", code)
    async with database.connection() as connection:
        row = await queries.redeem_link(connection, lookups, "sign_in")
    row = refuse_unbelievable(vault, "sign_in", code, row)
    if row.user_id is None or row.access_epoch is None:  # disabled since
        raise LinkRefused
    return VerifiedUser(row.user_id, row.access_epoch, LinkRefused)


async def set_up_first_user(
    database: Database, vault: Vault, *, code: Secret, email: str, password: Secret
) -> VerifiedUser:
    """Only one caller succeeds, because link and user are changed in one transaction. The user is an administrator.

    The link is checked before the expensive rating and hashing of the password, and redeemed after it.
    """
    lookups = link_lookups(vault, "setup", code)
    if await queries.has_users(database):
        raise AlreadySetUp
    refuse_unbelievable(vault, "setup", code, await queries.find_link(database, lookups, "setup"))
    await refuse_weak(password, email)
    user_id = uuid4()
    password_sealed = await hash_password(vault, user_id, password)
    async with get_connection_with_rls(user_id, database) as connection:
        refuse_unbelievable(vault, "setup", code, await queries.redeem_link(connection, lookups, "setup"))
        await queries.insert_first_user(connection, user_id, email, password_sealed, admin_seal(vault, user_id))
    _log.info("user_added", user_id=str(user_id), by="setup")
    return VerifiedUser(user_id, queries.FIRST_EPOCH)


async def add_user(database: Database, vault: Vault, *, email: str, password: Secret | None) -> UUID:
    """Without a password the user signs in by a one-time link."""
    user_id = uuid4()
    password_sealed = None
    if password is not None:
        await refuse_weak(password, email)
        password_sealed = await hash_password(vault, user_id, password)
    async with get_connection_with_rls(user_id, database) as connection:
        await queries.insert_user(connection, user_id, email, password_sealed)
    _log.info("user_added", user_id=str(user_id), by="operator")
    return user_id


async def change_password(
    database: Database, vault: Vault, person: AuthUser, *, current: Secret | None, new: Secret, source: ChangeSource
) -> None:
    """Ends every session and unused link in the same transaction, and sign-ins in progress with the old password.

    A user without a password needs no current one. Of two concurrent changes, one is refused.
    """
    user = await confirm_password(database, vault, person, current)
    await refuse_weak(new, user.email)
    password_sealed = await hash_password(vault, person.id, new)
    async with confirmed_connection(database, person) as connection:
        await queries.set_password(connection, person.id, password_sealed)
        await note_event(connection, vault, person.id, "password_changed", source)
    _log.info("password_changed", user_id=str(person.id))


async def recover_password(
    database: Database, vault: Vault, *, code: Secret, new: Secret, source: ChangeSource
) -> None:
    """Sets a password by a recovery link, without the old one.

    Ends sessions, links, invitations, API tokens and grants in the same transaction. The link is checked before the
    expensive hashing of the password, and redeemed after it. Raises LinkRefused and PasswordTooWeak.
    """
    lookups = link_lookups(vault, "recovery", code)
    link = refuse_unbelievable(vault, "recovery", code, await queries.find_link(database, lookups, "recovery"))
    if link.user_id is None or link.email is None:  # disabled since
        raise LinkRefused
    await refuse_weak(new, link.email)
    password_sealed = await hash_password(vault, link.user_id, new)
    async with get_connection_with_rls(link.user_id, database) as connection:
        is_unchanged = await queries.lock_user(connection, link.user_id, link.access_epoch)
        if not is_unchanged or await queries.redeem_link(connection, lookups, "recovery") is None:
            raise LinkRefused
        await queries.set_password(connection, link.user_id, password_sealed)
        await queries.delete_all_api_tokens(connection, link.user_id)
        await queries.delete_all_grants(connection, link.user_id)
        await queries.delete_own_invitations(connection)
        await note_event(connection, vault, link.user_id, "password_recovered", source)
    _log.warning("password_recovered", user_id=str(link.user_id))


async def has_password(user_id: UUID, database: Database) -> bool:
    async with get_connection_with_rls(user_id, database, readonly=True) as connection:
        user = await queries.load_own_user(connection, user_id)
    return user is not None and user.password_sealed is not None
