"""People with a password, and how they sign in with it."""

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
from aiohttp import ClientSession

from corral.identity import sign_in
from corral.people import operators
from corral.secret import Secret
from tests.access import SAME_ORIGIN, cookie_of

if TYPE_CHECKING:
    from tests.conftest import Service

PASSWORD = "a right horse, a staple and a battery"


@dataclass(frozen=True, slots=True)
class Member:
    user_id: UUID
    email: str
    password: str


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    reported: dict[str, Any]
    cookie: str | None


async def add_member(service: "Service", password: str | None = PASSWORD) -> Member:
    email = f"carol-{secrets.token_hex(6)}@corral.example"
    resources = service.resources
    user_id = await sign_in.add_user(
        resources.database, resources.vault, email=email, password=Secret(password) if password else None
    )
    return Member(user_id, email, password or "")


async def make_administrator(service: "Service", email: str) -> None:
    services = service.services
    async with operators.owner_connection(services.addresses.owner) as connection:
        await operators.promote_person(connection, service.resources.vault, email)


async def post(client: ClientSession, path: str, cookie: str | None = None, **body: str) -> Reply:
    """As a page of Corral's own."""
    headers = SAME_ORIGIN | ({"Cookie": cookie} if cookie else {})
    async with client.post(path, json=body, headers=headers) as answer:
        new_cookie = cookie_of(answer) if "Set-Cookie" in answer.headers else None
        return Reply(answer.status, dict(answer.headers), await answer.json(), new_cookie)


async def lengthen_waits(owner: asyncpg.Connection) -> None:
    """Makes every wait an hour longer, because the shortest one, a second, may pass before the next call."""
    await owner.execute(
        """
        UPDATE corral.sign_in_attempts SET blocked_until = blocked_until + interval '1 hour'
        WHERE blocked_until > last_attempt_at
        """
    )


async def sign_in_as(client: ClientSession, member: Member, password: str | None = None) -> Reply:
    return await post(client, "/api/session", email=member.email, password=password or member.password)


async def status_of(client: ClientSession, cookie: str) -> int:
    """Of a call that any session may make."""
    async with client.get("/api/me", headers={"Cookie": cookie}) as answer:
        return answer.status
