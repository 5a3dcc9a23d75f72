"""The operator's commands for people, and throttling by network address."""

from uuid import uuid4

import asyncpg
import pytest

from corral.identity import sign_in, throttling
from corral.identity.problems import EmailTaken, SignInRefused, SignInThrottled
from corral.people.operators import OwnerUnknown, owner_connection
from corral.secret import Secret
from tests.conftest import Service
from tests.identity.members import lengthen_waits


async def test_only_the_owners_role_lists_people() -> None:
    with pytest.raises(OwnerUnknown, match="CORRAL_DATABASE_OWNER_URL"):
        await owner_connection(None).__aenter__()


async def test_a_network_address_trying_many_accounts_is_throttled_until_it_signs_in(
    service: Service, owner: asyncpg.Connection
) -> None:
    database, vault = service.resources.database, service.resources.vault
    password, peer = Secret("a long enough password"), "203.0.113.7"
    dora = f"dora-{uuid4()}@corral.example"
    await sign_in.add_user(database, vault, email=dora, password=password)

    async def knock(email: str, peer: str = peer) -> None:
        audit = service.services.state["audit"]
        await sign_in.check_password(database, vault, audit, email=email, password=password, peer=peer)

    for number in range(throttling.FREE_ATTEMPTS_PER_ADDRESS - 1):
        with pytest.raises(SignInRefused):
            await knock(f"nobody{number}@corral.example")
    await knock(dora)  # the last free one, and her own
    for number in range(throttling.FREE_ATTEMPTS_PER_ADDRESS):
        with pytest.raises(SignInRefused):
            await knock(f"somebody{number}@corral.example")
    await lengthen_waits(owner)
    with pytest.raises(SignInThrottled):
        await knock(dora)
    await knock(dora, peer="203.0.113.8")  # her account itself is not slowed down


async def test_an_email_can_be_used_only_once(service: Service) -> None:
    database, vault = service.resources.database, service.resources.vault
    email = f"once-{uuid4()}@corral.example"
    await sign_in.add_user(database, vault, email=email, password=None)
    with pytest.raises(EmailTaken):
        await sign_in.add_user(database, vault, email=email, password=None)
