"""What the gateway finds for a key pair: the grant as it is stored at that moment, or nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

import asyncpg
import pytest

from corral.database.connection import Fetcher
from corral.errors import DatabaseUnavailable
from corral.grants import lookup, queries
from corral.grants.access import Access
from corral.grants.key_pairs import SECRET_FORM, new_key_id
from corral.grants.lookup import GrantReader
from corral.grants.networks import Address
from corral.grants.queries import GrantKey, GrantRow
from tests.conftest import Service, StartService
from tests.grants.conftest import GrantOwner, reader_of


async def test_a_key_pair_finds_its_grant_and_the_account_that_it_opens(carol: GrantOwner) -> None:
    account = await carol.live_account()
    made = await carol.grant(account, networks=["192.0.2.0/24"])
    found = await carol.find(made)
    assert found is not None
    assert (found.user_id, str(found.credential_id), str(found.id)) == (carol.user_id, account, made["id"])
    assert (found.key_id, found.access, found.credential_type) == (made["key_id"], Access.READ, "live")
    assert (found.stored.user_id, str(found.stored.id)) == (carol.user_id, account)
    assert (found.is_paused, found.is_refused) == (False, False)
    assert found.expires_at == found.terms.expires_at
    assert made["secret_key"] not in repr(found)


async def test_the_secret_alone_finds_it_but_not_with_another_key_id(carol: GrantOwner, reader: GrantReader) -> None:
    made, other = await carol.grant(), await carol.grant()
    assert await reader.find(None, made["secret_key"], address=None)
    for key_id in (other["key_id"], new_key_id(), made["key_id"].lower(), "", made["key_id"][:-1], "\ud800"):
        assert await reader.find(key_id, made["secret_key"], address=None) is None


async def test_what_is_not_a_grants_secret_is_refused_without_asking_the_database(
    carol: GrantOwner, start_service: StartService
) -> None:
    made = await carol.grant()
    secret = made["secret_key"]
    last = "A" if secret[-1] != "A" else "B"
    others = [
        secret[:-1],
        secret[1:],
        secret + "0",
        secret[:-1] + last,
        secret.upper(),
        secret.swapcase(),
        "",
        "é" * 56,
    ]
    others += [secret.replace("corral_grant_", "corral_"), secret.removeprefix("corral_grant_"), f"{secret} ", "\ud800"]
    async with start_service() as service:
        pass
    without_database = reader_of(service)
    for other in others:
        assert await without_database.find(None, other, address=None) is None, other
    with pytest.raises(DatabaseUnavailable):
        await without_database.find(None, secret, address=None)


async def test_an_unknown_secret_finds_nothing(reader: GrantReader) -> None:
    assert await reader.find(None, SECRET_FORM.new(), address=None) is None


async def test_many_look_ups_share_round_trips_and_get_their_own_grants(
    carol: GrantOwner, dave: GrantOwner, reader: GrantReader
) -> None:
    grants = [await someone.grant() for someone in (carol, dave) for _ in range(6)]
    found = await asyncio.gather(*(reader.find(None, one["secret_key"], address=None) for one in grants * 5))
    assert [str(one.id) if one else None for one in found] == [one["id"] for one in grants] * 5
    assert [one.user_id if one else None for one in found] == ([carol.user_id] * 6 + [dave.user_id] * 6) * 5


async def test_one_query_answers_for_a_keyring_with_several_keys(carol: GrantOwner, service: Service) -> None:
    made = await carol.grant()
    grant = await carol.find(made)
    assert grant is not None
    asked = [(b"by a newer key", grant.lookup), (b"unknown", b"to every key")]
    rows = await queries.find_grants(service.resources.database, asked)
    assert list(rows) == asked[:1]


async def test_a_revoked_grant_is_not_found_by_the_next_look_up_in_any_process(
    carol: GrantOwner, start_service: StartService
) -> None:
    made = await carol.grant()
    async with start_service() as elsewhere:
        found = await reader_of(elsewhere).find(made["key_id"], made["secret_key"], address=None)
        assert found is not None
        assert (await carol.ask("DELETE", f"/api/grants/{made['id']}")).status == 204
        assert await reader_of(elsewhere).find(made["key_id"], made["secret_key"], address=None) is None
        assert await reader_of(elsewhere).reload([found]) == [None]
    assert await carol.find(made) is None


async def test_what_outlives_a_request_sees_each_change_when_it_asks_again(
    carol: GrantOwner, reader: GrantReader
) -> None:
    account = await carol.account()
    first, second = await carol.grant(account, access="trade"), await carol.grant()
    held = [await carol.find(first), await carol.find(second)]
    assert held[0] is not None
    assert held[1] is not None
    narrowed = {"access": "read", "networks": ["198.51.100.0/24"]}
    assert (await carol.ask("PATCH", f"/api/grants/{first['id']}", narrowed)).status == 200
    assert (await carol.ask("PATCH", f"/api/credentials/{account}", {"is_active": False})).status == 200
    again = await reader.reload([held[1], held[0]])
    assert again[0] == held[1]
    assert again[1] is not None
    assert (again[1].access, again[1].is_paused) == (Access.READ, True)
    assert not again[1].admits(ip_address("192.0.2.1"))
    assert await reader.reload([]) == []


async def test_a_grant_is_for_its_networks_only(carol: GrantOwner) -> None:
    made = await carol.grant(networks=["192.0.2.0/24", "2001:db8::/32"])
    for address in ("192.0.2.1", "192.0.2.255", "2001:db8:1::1", "::ffff:192.0.2.7"):
        assert await carol.find(made, address=address), address
    for address in ("192.0.3.1", "2001:db9::1", "::ffff:192.0.3.7", "::192.0.2.7", None):
        assert await carol.find(made, address=address) is None, address
    everywhere = await carol.grant()
    for address in ("192.0.3.1", "2001:db9::1", None):
        assert await carol.find(everywhere, address=address), address


async def test_a_paused_account_and_rejected_keys_are_told_and_pass(
    carol: GrantOwner, owner: asyncpg.Connection
) -> None:
    account = await carol.account()
    made = await carol.grant(account)

    async def states() -> tuple[bool, bool, str]:
        found = await carol.find(made)
        assert found is not None
        (listed,) = await carol.listed()
        return found.is_paused, found.is_refused, listed["account_state"]

    assert await states() == (False, False, "active")
    assert (await carol.ask("PATCH", f"/api/credentials/{account}", {"is_active": False})).status == 200
    assert await states() == (True, False, "paused")
    assert (await carol.ask("PATCH", f"/api/credentials/{account}", {"is_active": True})).status == 200
    await owner.execute("UPDATE corral.credentials SET refused_at = now() WHERE id::text = $1", account)
    assert await states() == (False, True, "key_rejected")
    assert (await carol.ask("POST", f"/api/credentials/{account}/validate")).status == 200
    assert await states() == (False, False, "active")


async def test_the_last_use_is_stored_but_not_that_of_a_refused_look_up(carol: GrantOwner) -> None:
    account = await carol.account()
    used, refused = await carol.grant(account), await carol.grant(account, networks=["192.0.2.0/24"])
    assert used["last_used_at"] is None
    assert await carol.find(refused, address="198.51.100.1") is None
    assert await carol.find(refused, key_id=new_key_id()) is None
    assert await carol.find(used)
    async with asyncio.timeout(30):
        while (await carol.listed())[0]["last_used_at"] is None:  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.02)
    assert (await carol.listed())[1]["last_used_at"] is None
    assert await carol.find(used)  # within the same minute: no further write


async def test_noting_a_use_waits_for_no_revocation(
    carol: GrantOwner, owner: asyncpg.Connection, service: Service
) -> None:
    made, other = await carol.grant(), await carol.grant()
    held, free = await carol.find(made), await carol.find(other)
    assert held is not None
    assert free is not None
    async with owner.transaction():
        await owner.execute("SELECT FROM corral.grants WHERE id = $1 FOR UPDATE", held.id)
        both = [(held.user_id, held.id), (free.user_id, free.id)]
        await queries.note_grants_used(service.resources.database, both)
    assert [grant["last_used_at"] is None for grant in await carol.listed()] == [True, False]


async def test_a_look_up_that_was_asked_after_a_revocation_is_never_answered_from_before_it(
    carol: GrantOwner, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is under way, and waits for the database, when the grant is revoked."""
    made = await carol.grant()
    asked, answered = asyncio.Event(), asyncio.Event()
    find_grants = queries.find_grants

    async def slowly(database: Fetcher, wanted: Sequence[GrantKey]) -> Mapping[GrantKey, GrantRow]:
        found = await find_grants(database, wanted)
        asked.set()
        await answered.wait()
        return found

    monkeypatch.setattr(queries, "find_grants", slowly)
    reader = GrantReader(service.resources.database, service.resources.vault)
    early = asyncio.ensure_future(reader.find(None, made["secret_key"], address=None))
    await asked.wait()
    assert (await carol.ask("DELETE", f"/api/grants/{made['id']}")).status == 204
    late = asyncio.ensure_future(reader.find(None, made["secret_key"], address=None))
    await asyncio.sleep(0)
    answered.set()
    assert await early is not None
    assert await late is None
    await reader.close()


async def test_a_grant_is_expected_for_its_own_key_pair_and_networks_only(
    carol: GrantOwner, reader: GrantReader
) -> None:
    made = await carol.grant(access="trade", networks=["192.0.2.0/24"])
    other = await carol.grant(access="trade")
    inside, outside = ip_address("192.0.2.1"), ip_address("198.51.100.1")

    async def expected(key_id: str | None, secret: str, address: Address = inside) -> bool:
        search = reader.search(key_id, secret, address=address)
        await search.found()
        return search.expected is not None

    pair = made["key_id"], made["secret_key"]
    assert not await expected(*pair), "nothing was asked before"
    assert await expected(*pair)
    assert await expected(None, made["secret_key"])
    assert not await expected(other["key_id"], made["secret_key"])
    assert not await expected(*pair), "whoever mixes key pairs is asked about anew"
    assert not await expected(*pair, outside)
    assert not await expected(*pair)
    assert not await expected("", "no secret")


async def test_grants_to_read_are_not_remembered_and_others_are_bounded(
    carol: GrantOwner, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "MOST_EXPECTED", 2)
    reader = GrantReader(service.resources.database, service.resources.vault)
    account = await carol.account()
    made = [await carol.grant(account), *[await carol.grant(account, access="trade") for _ in range(3)]]
    for one in made:
        assert await reader.find(one["key_id"], one["secret_key"], address=None) is not None
    again = [reader.search(one["key_id"], one["secret_key"], address=None) for one in made]
    assert [search.expected is not None for search in again] == [False, False, True, True]
    assert [await search.confirms() for search in again] == [False, False, True, True]
    await reader.close()
