"""Access other than by API token: a session cookie, and the database's owner."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
from aiohttp import ClientResponse, ClientSession, DummyCookieJar

from corral.database.embedded.instance import EmbeddedDatabase
from corral.identity.links import issue_link

if TYPE_CHECKING:
    from tests.conftest import Service

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}  # what a browser says about requests of Corral's own pages

# With a person, in the same transaction, goes what was written down about them.
ERASE_EVERYBODY = """
DELETE FROM corral.one_time_links; DELETE FROM corral.users; DELETE FROM corral.audit_entries;
DELETE FROM corral.audit_heads
"""

# Written while serving, without a request for it: when users were last seen, when keys were last checked.
_BOOKKEEPING = ["last_seen_at", "last_used_at", "checked_at"]

# That it lives, the sums of each minute, what becomes of orders that tests before have left, and pruned changes.
_BY_THE_CLOCK = {"audit_processes", "audit_entries", "audit_heads", "audit_pending", "access_changes"}


@asynccontextmanager
async def browser(url: str, cookie: str | None = None) -> AsyncGenerator[ClientSession]:
    """A page of Corral's own. It keeps no cookie but the one it is given."""
    headers = SAME_ORIGIN | ({"Cookie": cookie} if cookie else {})
    async with ClientSession(url, headers=headers, cookie_jar=DummyCookieJar()) as client:
        yield client


async def sign_in_by_link(service: "Service", user_id: UUID) -> str:
    """The `name=value` of the new session's cookie."""
    body = {"token": await link_code(service, user_id)}
    async with browser(service.url) as client, client.post("/api/session/link", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return cookie_of(answer)


async def link_code(service: "Service", user_id: UUID) -> str:
    resources = service.resources
    link = await issue_link(resources.database, resources.vault, "sign_in", user_id, resources.public_url)
    return link.reveal().partition("#")[2]


def cookie_of(answer: ClientResponse) -> str:
    (set_cookie,) = answer.headers.getall("Set-Cookie")
    return set_cookie.partition(";")[0]


@asynccontextmanager
async def owner_of(postgres: EmbeddedDatabase) -> AsyncGenerator[asyncpg.Connection]:
    """The operator, who may write whatever they like into the database, but has no keyring."""
    connection = await asyncpg.connect(postgres.dsn("corral_owner"))
    try:
        yield connection
    finally:
        await connection.close()


async def fingerprints(owner: asyncpg.Connection) -> dict[str, str]:
    """One digest for the whole contents of each table, but for what a service writes by the clock."""
    tables = await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'corral'")
    return {table: await _fingerprint(owner, table) for (table,) in tables if table not in _BY_THE_CLOCK}


async def _fingerprint(owner: asyncpg.Connection, table: str) -> str:
    rows = f"SELECT (to_jsonb(t) - $1::text[])::text AS row FROM corral.{table} t"
    return await owner.fetchval(
        f"SELECT md5(coalesce(string_agg(row, E'\\n' ORDER BY row), '')) FROM ({rows}) r", _BOOKKEEPING
    )
