"""Grants over HTTP: made, listed, narrowed, renewed and revoked by their owner."""

import re
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.credentials.models import Credential
from corral.database.connection import Connection, Database
from corral.grants import management
from corral.identity import api_tokens
from corral.identity.links import issue_link
from corral.identity.models import TO_BE_NAMED, Scope
from corral.identity.queries import read_clock
from tests.access import fingerprints
from tests.conftest import Faults, Service
from tests.grants.conftest import GrantOwner, Json, Reply
from tests.people import key_pair, live_key, paper_key

TurnClock = Callable[..., None]

NO_GRANT = (404, "grant_not_found")


@pytest.fixture
def turn_clock(monkeypatch: pytest.MonkeyPatch) -> TurnClock:
    """Makes what is made, narrowed or renewed from now on as if it were `ago`."""

    def turn(**ago: float) -> None:
        async def earlier(connection: Connection) -> datetime:
            return await read_clock(connection) - timedelta(**ago)

        monkeypatch.setattr(management, "read_clock", earlier)

    return turn


def _left(grant: Json) -> timedelta:
    return datetime.fromisoformat(grant["expires_at"]) - datetime.fromisoformat(grant["created_at"])


class Program(GrantOwner):
    """A program of somebody's, with an API token."""

    def __init__(self, person: GrantOwner, client: ClientSession) -> None:
        self.user_id, self.page, self._reader = person.user_id, client, person._reader


@pytest.fixture
async def clients(service: Service) -> AsyncGenerator[list[ClientSession]]:
    opened: list[ClientSession] = []
    yield opened
    for client in opened:
        await client.close()


async def program_of(
    person: GrantOwner, service: Service, clients: list[ClientSession], *scopes: str, lifetime: timedelta | None = None
) -> Program:
    resources = service.resources
    expires_at = None if lifetime is None else await api_tokens.moment_in(resources.database, lifetime)
    _, token = await api_tokens.create_api_token(
        person.user_id, resources.database, resources.vault, name="bot", scopes=scopes or None, expires_at=expires_at
    )
    clients.append(ClientSession(service.url, headers={"Authorization": f"Bearer {token.reveal()}"}))
    return Program(person, clients[-1])


# Made and listed


async def test_a_grant_has_the_form_of_a_key_pair_and_the_addresses_that_go_with_it(
    carol: GrantOwner, service: Service
) -> None:
    account = await carol.account()
    made = await carol.grant(account, name="My bot", access="trade", expires_in="90m", networks=["192.0.2.0/24"])
    assert re.fullmatch(r"CG[A-Z2-7]{24}", made["key_id"])
    assert re.fullmatch(r"corral_grant_[0-9A-Za-z]{43}", made["secret_key"])
    base = service.resources.public_url
    assert (made["base_url"], made["data_url"]) == (f"{base}/alpaca", f"{base}/alpaca/data")
    assert made["stream_url"] == f"ws{base.removeprefix('http')}/alpaca/stream"
    assert (made["credential_id"], made["credential_type"], made["name"]) == (account, "paper", "My bot")
    assert (made["access"], made["networks"], _left(made)) == ("trade", ["192.0.2.0/24"], timedelta(minutes=90))
    assert (made["is_expired"], made["ends_soon"], made["previous_secret_until"]) == (False, True, None)


async def test_a_grant_lasts_thirty_days_and_works_from_everywhere_unless_said(carol: GrantOwner) -> None:
    made = await carol.grant(expires_in=None, networks=None)
    assert (_left(made), made["networks"], made["ends_soon"]) == (timedelta(days=30), None, False)


async def test_a_secret_is_shown_once_and_stored_nowhere(carol: GrantOwner, owner: asyncpg.Connection) -> None:
    account = await carol.account()
    made = await carol.grant(account)
    shown_once = {"secret_key", "base_url", "data_url", "stream_url"}
    for path in ("/api/grants", f"/api/credentials/{account}/grants"):
        assert await carol.listed(path) == [{name: made[name] for name in made.keys() - shown_once}]
    stored = str(
        [dict(row) for row in await owner.fetch("SELECT * FROM corral.grants NATURAL JOIN corral.grant_secrets")]
    )
    assert made["secret_key"] not in stored
    assert made["secret_key"].removeprefix("corral_grant_") not in stored


async def test_each_account_lists_its_own_grants_and_all_are_in_one_list(carol: GrantOwner) -> None:
    first, second = await carol.account(), await carol.live_account()
    grants = [await carol.grant(account, name=name) for name, account in (("a", first), ("b", second), ("c", first))]
    assert [grant["id"] for grant in await carol.listed()] == [grant["id"] for grant in grants]
    assert [grant["name"] for grant in await carol.listed(f"/api/credentials/{first}/grants")] == ["a", "c"]
    assert [grant["credential_type"] for grant in await carol.listed()] == ["paper", "live", "paper"]


_BAD = "Enter networks such as 192.0.2.0/24 or 2001:db8::/32, or single addresses."
_TIME = "Enter a time from 1 minute to 365 days, such as 90m, 12h or 30d."
_OVERLAP = "Enter at most 7 days, such as 24h. 0m ends the previous secret now."


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"limits": {"max_notional": "100"}}, "limits", "Extra inputs are not permitted"),
        ({"shadow": True}, "shadow", "Extra inputs are not permitted"),
        ({"symbols": ["AAPL"]}, "symbols", "Extra inputs are not permitted"),
        ({"expires_at": "2099-01-01T00:00:00Z"}, "expires_at", "Extra inputs are not permitted"),
        ({"access": "write"}, "access", "Input should be 'read', 'close_only' or 'trade"),
        *(
            ({"expires_in": value}, "expires_in", _TIME)
            for value in ("0m", "366d", "53w", "30", "30D", "-1d", 30, "1y")
        ),
        ({"networks": []}, "networks", "List should have at least 1 item after validation, not 0"),
        ({"networks": ["192.0.2.1"] * 17}, "networks", "List should have at most 16 items after validation, not 17"),
        *(({"networks": [one]}, "networks", _BAD) for one in ("192.0.2.7/24", "example.com", "::ffff:192.0.2.1", 1)),
        ({"name": ""}, "name", "String should have at least 1 character"),
        ({"name": "a\nb"}, "name", "Remove control characters and line breaks."),
    ],
)
async def test_what_is_unknown_or_not_allowed_is_refused_at_its_field_and_never_ignored(
    carol: GrantOwner, fields: Json, field: str, sentence: str
) -> None:
    account = await carol.account()
    refused = await carol.try_grant(account, **fields)
    assert (refused.status, refused.body["code"]) == (422, "invalid_request")
    assert refused.sentence == (422, sentence)
    assert refused.body["errors"][0]["loc"][1] == field
    assert await carol.listed() == []


async def test_networks_are_stored_in_their_one_form(carol: GrantOwner) -> None:
    made = await carol.grant(networks=["2001:DB8::1", "192.0.2.128/25", "192.0.2.0/25", "192.0.2.9"])
    assert made["networks"] == ["192.0.2.0/24", "2001:db8::1/128"]


async def test_an_account_that_does_not_exist_has_no_grants(carol: GrantOwner) -> None:
    path = f"/api/credentials/{uuid4()}/grants"
    for method, body in (("GET", None), ("DELETE", None), ("POST", {"name": "bot", "access": "read"})):
        assert (await carol.ask(method, path, body)).refusal == (404, "credential_not_found")


async def test_an_account_that_is_deleted_meanwhile_gets_no_grant(
    carol: GrantOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await carol.account()
    load_credential = management.load_credential

    async def then_delete(user_id: UUID, database: Database, credential_id: UUID) -> Credential:
        loaded = await load_credential(user_id, database, credential_id)
        assert (await carol.ask("DELETE", f"/api/credentials/{account}")).status == 204
        return loaded

    monkeypatch.setattr(management, "load_credential", then_delete)
    assert (await carol.try_grant(account)).refusal == (404, "credential_not_found")


# What moves real money


@pytest.mark.parametrize("access", ["close_only", "trade"])
async def test_what_moves_real_money_asks_for_the_password(carol: GrantOwner, access: str) -> None:
    account = await carol.live_account()
    wanted = await carol.try_grant(account, access=access)
    assert wanted.sentence == (422, "Enter your password. This grant can trade with real money.")
    assert (await carol.try_grant(account, access=access, current_password="a guess")).refusal == (
        401,
        "sign_in_refused",
    )
    assert await carol.listed() == []
    made = await carol.grant(account, access=access, current_password=carol.password)
    assert (await carol.find(made)) is not None


async def test_reading_a_live_account_and_trading_on_a_paper_one_need_no_password(carol: GrantOwner) -> None:
    await carol.grant(await carol.live_account(), access="read")
    await carol.grant(await carol.account(), access="trade")


async def test_whoever_has_no_password_sets_one_first(dave: GrantOwner) -> None:
    account = await dave.live_account()
    refused = await dave.try_grant(account, access="trade", current_password="anything")
    assert refused.refusal == (409, "password_not_set")
    assert "Set one in Settings first" in refused.body["detail"]
    await dave.grant(account, access="read")


async def test_a_password_that_changes_meanwhile_makes_no_grant(
    carol: GrantOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await carol.live_account()
    confirm = management.confirm_password

    async def then_change(*given: object) -> None:
        await confirm(*given)  # pyright: ignore[reportArgumentType]
        changed = {"current_password": carol.password, "new_password": "another horse with another staple"}
        assert (await carol.ask("PUT", "/api/me/password", changed)).status == 204

    monkeypatch.setattr(management, "confirm_password", then_change)
    refused = await carol.try_grant(account, access="trade", current_password=carol.password)
    assert refused.refusal == (401, "unauthenticated")


# By programs


async def test_a_token_makes_grants_only_if_it_names_the_scope(
    carol: GrantOwner, service: Service, clients: list[ClientSession]
) -> None:
    account = await carol.account()
    everything = await program_of(carol, service, clients)
    me = await everything.ask("GET", "/api/me")
    assert not {"grants:read", "grants:write"} & set(me.body["scopes"])
    assert (await everything.try_grant(account)).refusal == (403, "insufficient_scope")
    assert (await everything.ask("GET", "/api/grants")).refusal == (403, "insufficient_scope")
    naming = await program_of(carol, service, clients, "*", "grants:write")
    await naming.grant(account, access="trade")
    assert (await naming.ask("GET", "/api/grants")).refusal == (403, "insufficient_scope")


async def test_no_token_gets_the_scopes_of_grants_by_default(
    carol: GrantOwner, service: Service, clients: list[ClientSession]
) -> None:
    maker = await program_of(carol, service, clients, *Scope)
    made = await maker.ask("POST", "/api/tokens", {"name": "child"})
    assert made.body["scopes"] == sorted(set(Scope) - TO_BE_NAMED)
    named = await maker.ask("POST", "/api/tokens", {"name": "child", "scopes": ["grants:write"]})
    assert named.body["scopes"] == ["grants:write"]
    everything = await program_of(carol, service, clients)
    refused = await everything.ask("POST", "/api/tokens", {"name": "child", "scopes": ["grants:write"]})
    assert refused.refusal == (403, "wider_than_its_maker")


@pytest.mark.parametrize("access", ["close_only", "trade"])
async def test_no_token_makes_a_grant_that_moves_real_money(
    carol: GrantOwner, service: Service, clients: list[ClientSession], access: str
) -> None:
    account = await carol.live_account()
    program = await program_of(carol, service, clients, "grants:write")
    refused = await program.try_grant(account, access=access, current_password=carol.password)
    assert refused.refusal == (403, "session_required")
    await program.grant(account, access="read")


async def test_a_grant_does_not_outlive_the_token_that_makes_it(
    carol: GrantOwner, service: Service, clients: list[ClientSession]
) -> None:
    account = await carol.account()
    program = await program_of(carol, service, clients, "grants:write", lifetime=timedelta(days=2))
    for expires_in in (None, "3d"):
        refused = await program.try_grant(account, expires_in=expires_in)
        assert refused.refusal == (403, "wider_than_its_maker")
        assert "outlives it" in refused.body["detail"]
    await program.grant(account, expires_in="1d")


# Narrowed


async def test_a_grant_is_narrowed_in_every_way(carol: GrantOwner) -> None:
    made = await carol.grant(access="trade", networks=["192.0.2.0/24", "2001:db8::/32"])
    path = f"/api/grants/{made['id']}"
    for change, member, value in [
        ({"name": "renamed"}, "name", "renamed"),
        ({"access": "close_only"}, "access", "close_only"),
        ({"access": "close_only"}, "access", "close_only"),
        ({"networks": ["192.0.2.0/25", "192.0.2.128/25"]}, "networks", ["192.0.2.0/24"]),
        ({"networks": ["192.0.2.7"], "access": "read"}, "networks", ["192.0.2.7/32"]),
        ({"expires_in": "1h"}, "ends_soon", True),
        ({}, "access", "read"),
    ]:
        narrowed = await carol.ask("PATCH", path, change)
        assert (narrowed.status, narrowed.body[member]) == (200, value), narrowed.body
    found = await carol.find(made, address="192.0.2.7")
    assert found is not None
    assert (found.access, [str(one) for one in found.terms.networks or ()]) == ("read", ["192.0.2.7/32"])
    assert (await carol.listed())[0]["name"] == "renamed"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"access": "trade"}, "A grant can only be narrowed. Create a new one for more access."),
        ({"networks": ["192.0.0.0/16"]}, "A grant can only be narrowed. Create a new one for other networks."),
        ({"networks": ["192.0.2.1", "10.0.0.1"]}, "A grant can only be narrowed. Create a new one for other networks."),
        ({"networks": ["::/0"]}, "A grant can only be narrowed. Create a new one for other networks."),
        ({"expires_in": "31d"}, "A grant can't be extended here. Renew it instead."),
        ({"networks": None}, "Omit this field to leave it unchanged."),
        ({"expires_in": None}, "Omit this field to leave it unchanged."),
        ({"limits": {}}, "Extra inputs are not permitted"),
        ({"current_password": "x"}, "Extra inputs are not permitted"),
    ],
)
async def test_a_grant_is_never_widened(
    carol: GrantOwner, owner: asyncpg.Connection, change: Json, sentence: str
) -> None:
    made = await carol.grant(access="close_only", networks=["192.0.2.0/24"])
    before = await fingerprints(owner)
    refused = await carol.ask("PATCH", f"/api/grants/{made['id']}", {"name": "renamed", **change})
    assert refused.sentence == (422, sentence)
    assert await fingerprints(owner) == before


async def test_a_token_may_narrow_and_revoke_what_it_could_not_make(
    carol: GrantOwner, service: Service, clients: list[ClientSession]
) -> None:
    account = await carol.live_account()
    made = await carol.grant(account, access="trade", current_password=carol.password)
    program = await program_of(carol, service, clients, "grants:write")
    path = f"/api/grants/{made['id']}"
    assert (await program.ask("PATCH", path, {"access": "close_only"})).status == 200
    assert (await program.ask("POST", f"{path}/renew", {})).refusal == (403, "session_required")
    assert (await program.ask("DELETE", path)).status == 204


# Renewed


async def _renew(person: GrantOwner, grant: Json, **fields: object) -> Reply:
    return await person.ask("POST", f"/api/grants/{grant['id']}/renew", fields)


async def test_a_grant_ends_with_its_time_and_a_renewal_revives_it(
    carol: GrantOwner, turn_clock: TurnClock, log_file: object
) -> None:
    turn_clock(days=31)
    made = await carol.grant()
    assert await carol.find(made) is None
    assert [(one["is_expired"], one["ends_soon"]) for one in await carol.listed()] == [(True, False)]
    turn_clock()
    renewed = await _renew(carol, made)
    assert (renewed.status, renewed.body["secret_key"], renewed.body["is_expired"]) == (200, None, False)
    for member in ("id", "key_id", "created_at", "base_url", "access", "networks"):
        assert renewed.body[member] == made[member]
    assert await carol.find(made)


async def test_what_ends_within_a_week_is_told(carol: GrantOwner, turn_clock: TurnClock) -> None:
    turn_clock(days=22)
    await carol.grant()
    turn_clock(days=24)
    await carol.grant()
    assert [(one["is_expired"], one["ends_soon"]) for one in await carol.listed()] == [(False, True), (False, False)]


async def test_a_renewal_lasts_as_long_as_said_and_never_shortens_unless_said(carol: GrantOwner) -> None:
    made = await carol.grant(expires_in="365d")
    assert (await _renew(carol, made)).body["expires_at"] == made["expires_at"]
    for said, days in (("40d", 40), ("1d", 1), (None, 30)):
        renewed = (await _renew(carol, made, **({"expires_in": said} if said else {}))).body
        assert timedelta(0) < _left(renewed) - timedelta(days=days) < timedelta(hours=1)
    assert (await _renew(carol, made, expires_in="366d")).sentence == (422, _TIME)


async def test_both_secrets_work_for_the_overlap(carol: GrantOwner) -> None:
    made = await carol.grant()
    renewed = (await _renew(carol, made, new_secret=True, overlap="2h")).body
    assert renewed["key_id"] == made["key_id"]
    assert renewed["secret_key"] != made["secret_key"]
    first, second = await carol.find(made), await carol.find(renewed)
    assert first is not None
    assert second is not None
    assert first.terms == second.terms
    until = datetime.fromisoformat(renewed["previous_secret_until"]) - datetime.fromisoformat(renewed["created_at"])
    assert timedelta(hours=2) < until < timedelta(hours=3)


async def test_the_former_secret_ends_with_the_overlap_and_the_new_one_goes_on(
    carol: GrantOwner, turn_clock: TurnClock
) -> None:
    turn_clock(days=2)
    made = await carol.grant()
    renewed = (await _renew(carol, made, new_secret=True)).body  # a day, unless said
    assert await carol.find(made) is None
    assert await carol.find(renewed)
    assert renewed["previous_secret_until"] is None
    turn_clock()
    assert (await carol.ask("PATCH", f"/api/grants/{made['id']}", {"name": "x"})).status == 200
    assert await carol.find(made) is None


async def test_without_overlap_the_former_secret_ends_at_once_and_only_two_ever_work(carol: GrantOwner) -> None:
    made = await carol.grant()
    second = (await _renew(carol, made, new_secret=True, overlap="7d")).body
    third = (await _renew(carol, made, new_secret=True, overlap="7d")).body
    assert [bool(await carol.find(one)) for one in (made, second, third)] == [False, True, True]
    fourth = (await _renew(carol, made, new_secret=True, overlap="0m")).body
    assert [bool(await carol.find(one)) for one in (second, third, fourth)] == [False, False, True]


async def test_the_former_secret_ends_with_the_grant(carol: GrantOwner) -> None:
    made = await carol.grant()
    renewed = (await _renew(carol, made, new_secret=True, overlap="7d", expires_in="1h")).body
    assert renewed["previous_secret_until"] == renewed["expires_at"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"overlap": "1h"}, "Send overlap only with new_secret."),
        ({"new_secret": True, "overlap": "8d"}, _OVERLAP),
        ({"new_secret": True, "overlap": 1}, _OVERLAP),
        ({"access": "trade"}, "Extra inputs are not permitted"),
        ({"limits": {}}, "Extra inputs are not permitted"),
    ],
)
async def test_a_renewal_that_makes_no_sense_is_refused(carol: GrantOwner, fields: Json, sentence: str) -> None:
    made = await carol.grant()
    assert (await _renew(carol, made, **fields)).sentence == (422, sentence)


async def test_renewing_what_moves_real_money_asks_for_the_password(carol: GrantOwner, dave: GrantOwner) -> None:
    account = await carol.live_account()
    made = await carol.grant(account, access="trade", current_password=carol.password)
    assert (await _renew(carol, made)).sentence == (422, "Enter your password. This grant can trade with real money.")
    assert (await _renew(carol, made, current_password="a guess")).refusal == (401, "sign_in_refused")
    assert (await _renew(carol, made, current_password=carol.password)).status == 200
    assert (await _renew(dave, made)).refusal == NO_GRANT


# Revoked


async def test_a_revoked_grant_is_gone_with_its_secrets(carol: GrantOwner, owner: asyncpg.Connection) -> None:
    made, other = await carol.grant(), await carol.grant()
    await _renew(carol, made, new_secret=True, overlap="1d")
    path = f"/api/grants/{made['id']}"
    assert (await carol.ask("DELETE", path)).status == 204
    assert await carol.find(made) is None
    for method, where in (("DELETE", path), ("PATCH", path), ("POST", f"{path}/renew")):
        assert (await carol.ask(method, where, None if method == "DELETE" else {})).refusal == NO_GRANT
    left = await owner.fetchval("SELECT count(*) FROM corral.grant_secrets WHERE user_id = $1", carol.user_id)
    assert (left, [one["id"] for one in await carol.listed()]) == (1, [other["id"]])


async def test_all_grants_of_an_account_are_revoked_at_once_and_then_all(carol: GrantOwner, dave: GrantOwner) -> None:
    first, second = await carol.account(), await carol.account()
    of_first = [await carol.grant(first) for _ in range(2)]
    of_second, his = await carol.grant(second), await dave.grant()
    assert (await carol.ask("DELETE", f"/api/credentials/{first}/grants")).status == 204
    assert [await carol.find(one) for one in of_first] == [None, None]
    assert await carol.find(of_second)
    assert (await carol.ask("DELETE", "/api/grants")).status == 204
    assert await carol.find(of_second) is None
    assert await carol.listed() == []
    assert await dave.find(his)


# What becomes of a grant


async def test_a_grant_goes_on_with_new_keys_of_the_same_account(carol: GrantOwner) -> None:
    key_id = paper_key()
    account = await carol.account(key_id)
    made = await carol.grant(account)
    assert (await carol.ask("PATCH", f"/api/credentials/{account}", key_pair(key_id))).status == 200
    found = await carol.find(made)
    assert found is not None
    assert found.stored.revision == 2


async def test_a_grant_goes_with_its_account_and_does_not_come_back(carol: GrantOwner) -> None:
    key_id = paper_key()
    account = await carol.account(key_id)
    made = await carol.grant(account)
    assert (await carol.ask("DELETE", f"/api/credentials/{account}")).status == 204
    assert await carol.find(made) is None
    await carol.account(key_id)
    assert await carol.find(made) is None
    assert await carol.listed() == []


async def test_a_grant_stays_when_its_owner_changes_the_password(carol: GrantOwner) -> None:
    made = await carol.grant()
    changed = {"current_password": carol.password, "new_password": "another horse with another staple"}
    assert (await carol.ask("PUT", "/api/me/password", changed)).status == 204
    assert await carol.find(made)


async def test_no_grant_outlives_that_its_owner_is_disabled(carol: GrantOwner, owner: asyncpg.Connection) -> None:
    made = await carol.grant()
    await owner.execute("SELECT corral.disable_user($1)", carol.user_id)
    assert await carol.find(made) is None
    await owner.execute("UPDATE corral.users SET disabled_at = NULL WHERE id = $1", carol.user_id)
    assert await carol.find(made) is None
    assert await owner.fetchval("SELECT count(*) FROM corral.grants WHERE user_id = $1", carol.user_id) == 0


async def test_a_disabled_owners_grant_is_not_found_even_if_its_row_is_still_there(
    carol: GrantOwner, owner: asyncpg.Connection
) -> None:
    made = await carol.grant()
    await owner.execute("UPDATE corral.users SET disabled_at = now() WHERE id = $1", carol.user_id)
    assert await carol.find(made) is None


async def test_no_grant_outlives_a_recovery(carol: GrantOwner, service: Service, anonymous: ClientSession) -> None:
    made = await carol.grant()
    resources = service.resources
    link = await issue_link(resources.database, resources.vault, "recovery", carol.user_id, resources.public_url)
    sent = {"token": link.reveal().partition("#")[2], "new_password": "another horse with another staple"}
    async with anonymous.post("/api/recovery", json=sent) as answer:
        assert answer.status == 204, await answer.text()
    assert await carol.find(made) is None


# Never taken for a key of Alpaca's


@pytest.mark.parametrize("field", ["api_key", "secret_key"])
async def test_a_grant_is_not_stored_as_a_key_of_alpacas(carol: GrantOwner, faults: Faults, field: str) -> None:
    stored = await carol.account()
    grant = await carol.grant(stored)
    sentence = "This key belongs to a Corral grant. Enter your Alpaca API key."
    for pasted in (grant["key_id"], grant["secret_key"], f" {grant['secret_key'][:30]}\n"):
        keys = key_pair(paper_key()) | {field: pasted}
        for method, path, more in (("POST", "", {"nickname": "x"}), ("PATCH", f"/{stored}", {})):
            refused = await carol.ask(method, f"/api/credentials{path}", {**keys, **more})
            assert refused.sentence == (422, sentence)
            assert refused.body["errors"][0]["loc"] == ["body", field]
            assert pasted.strip() not in str(refused.body)
        async with carol.page.post("/keys/new", data={"nickname": "x", **keys}) as answer:
            html = await answer.text()
        assert (answer.status, sentence in html, pasted.strip() in html) == (422, True, False)
        assert await faults.calls_of(keys["api_key"]) == 0


async def test_a_secret_of_alpacas_may_begin_as_a_grants_key_id_does(carol: GrantOwner) -> None:
    refused = await carol.ask(
        "POST",
        "/api/credentials",
        {"nickname": "x", "api_key": live_key(), "secret_key": "CGabcdefghijklmnopqrstuvwxyz"},
    )
    assert refused.refusal == (422, "keys_refused")  # Alpaca was asked


async def test_what_becomes_of_a_grant_is_in_the_audit_trail(carol: GrantOwner) -> None:
    made = await carol.grant(access="trade")
    path = f"/api/grants/{made['id']}"
    await carol.ask("PATCH", path, {"access": "read"})
    await carol.ask("POST", f"{path}/renew", {"expires_in": "60d"})
    await carol.ask("DELETE", path)
    await carol.ask("DELETE", "/api/grants")
    items = (await carol.ask("GET", "/api/audit?limit=20")).body["items"]
    entries = [(item["action"], item["details"].get("access")) for item in items if item["action"].startswith("grant")]
    assert sorted(entries, key=str) == [
        ("grant.made", "trade"), ("grant.narrowed", "read"), ("grant.renewed", "read"), ("grant.revoked", "read"),
        ("grants.revoked", None),
    ]  # fmt: skip
    assert all(item["actor"].startswith("session:") for item in items if item["action"].startswith("grant"))
    assert made["secret_key"] not in str(items)
