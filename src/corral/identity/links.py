"""One-time links: set-up of the first user, signing in without a password, and password recovery.

The code is in the fragment of the URL (after `#`), which browsers never send, so it is in no log of a
server or proxy. The page reads it and posts it.
"""

import re
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from corral.database.connection import Connection, Database, get_connection_with_rls
from corral.identity import queries
from corral.identity.problems import LinkRefused, PersonDisabled
from corral.identity.security_events import OPERATOR, note_event
from corral.identity.tokens import is_well_formed, new_token, sealed_moment
from corral.logs import get_logger
from corral.secret import Secret
from corral.vault import Vault

Kind = Literal["setup", "sign_in", "recovery"]

LIFETIME: dict[Kind, timedelta] = {
    "setup": timedelta(hours=24),
    "sign_in": timedelta(days=1),
    "recovery": timedelta(hours=1),
}
_PAGES: dict[Kind, str] = {"setup": "/setup", "sign_in": "/sign-in", "recovery": "/recover"}

_CODE: Final = re.compile(r"corral_[0-9A-Za-z]+", re.ASCII)

_log = get_logger()


async def issue_link(database: Database, vault: Vault, kind: Kind, user_id: UUID | None, public_url: str) -> Secret:
    """Returns the whole link, for its recipient only. Raises PersonDisabled, also if that happens meanwhile."""
    code, expires_at = new_token(), await queries.read_clock(database) + LIFETIME[kind]
    async with _connection_for(database, user_id) as connection:
        is_issued = await queries.issue_link(
            connection,
            vault.access.verifier("link", kind, code),
            vault.access.verifier("link_row", code, *_bound(kind, user_id, expires_at)),
            kind=kind,
            user_id=user_id,
            expires_at=expires_at,
        )
        if not is_issued:
            raise PersonDisabled
        if kind == "recovery" and user_id is not None:
            await note_event(connection, vault, user_id, "recovery_link_made", OPERATOR)
    return Secret(f"{public_url}{_PAGES[kind]}#{code}")


def _connection_for(database: Database, user_id: UUID | None) -> AbstractAsyncContextManager[Connection]:
    return database.connection() if user_id is None else get_connection_with_rls(user_id, database)


def code_in(pasted: Secret) -> Secret:
    """Returns the code in a link; a text without one is returned unchanged, and will be rejected."""
    found = _CODE.search(pasted.reveal())
    return Secret(found[0]) if found else pasted


def link_lookups(vault: Vault, kind: Kind, code: Secret) -> list[bytes]:
    """Raises LinkRefused for a malformed code, before the database is queried."""
    if not is_well_formed(code.reveal()):
        raise LinkRefused
    return vault.access.verifiers("link", kind, code.reveal())


def refuse_unbelievable(vault: Vault, kind: Kind, code: Secret, row: queries.LinkRow | None) -> queries.LinkRow:
    """Returns the row if its seal is valid. Raises LinkRefused for one that is missing or was written by hand."""
    if row is None:
        raise LinkRefused
    if not vault.access.verify(row.seal, "link_row", code.reveal(), *_bound(kind, row.user_id, row.expires_at)):
        _log.error("link_seal_broken", kind=kind)
        raise LinkRefused
    return row


def _bound(kind: Kind, user_id: UUID | None, expires_at: datetime) -> tuple[str, ...]:
    return kind, str(user_id), sealed_moment(expires_at)
