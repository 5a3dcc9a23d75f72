"""A stream that selects events or accounts gets these, and positions are read for those who look at them."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from corral.stream import poller
from corral_sandbox import Sandbox
from tests.conftest import Faults
from tests.log_lines import LogSince
from tests.people import Person, paper_key
from tests.stream.sse_client import SseClient, listening_to
from tests.stream.trading import trader, trading_key

CARDS = "?events=account-data"
_SIGNS = {"problem", "gap", "heartbeat"}


async def until_read(faults: Faults, key_id: str, times: int) -> None:
    """Waits until positions have been read so many times."""
    async with asyncio.timeout(60):
        while await faults.calls_of(key_id, "/v2/positions") < times:  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.05)


def kinds_in(sse: SseClient) -> set[str]:
    return {event.kind for event in sse.heard}


@pytest.mark.parametrize(
    "query",
    [
        "?events=",
        "?events=,",
        "?events=positions",
        "?events=Position",
        "?events=account-data,",
        "?events=account-data,%20order",
        "?events=account-data;order",
        "?events=problem",  # always sent, and a stream of nothing else would be silent
        "?credential_ids=",
        "?credential_ids=7313be74",
        "?event=position",
        "?types=position",
    ],
)
async def test_an_unknown_parameter_or_value_is_refused_in_words(alice: Person, bob: Person, query: str) -> None:
    for person in (alice, bob):
        async with person.client.get(f"/api/stream{query}") as answer:
            assert answer.status == 422
            problem = await answer.json(content_type=None)
        assert problem["code"] == "invalid_request"
        assert problem["errors"][0]["msg"]
        if "events=" in query:
            assert problem["detail"] == "Enter one or more of account-data, position and order, separated by commas."


async def test_the_document_names_the_events_that_can_be_selected(alice: Person) -> None:
    async with alice.client.get("/openapi.json") as answer:
        operation = (await answer.json())["paths"]["/api/stream"]["get"]
    parameters = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert parameters.keys() == {"events", "credential_ids", "Last-Event-ID"}
    pattern = parameters["events"]["schema"]["pattern"]
    assert all(kind in pattern for kind in ("account-data", "position", "order"))
    assert not any(parameter.get("required") for parameter in parameters.values())


async def test_only_selected_events_are_sent_at_the_beginning_and_afterwards(
    alice: Person, bob: Person, sandbox: Sandbox
) -> None:
    key_id = await trading_key(sandbox)
    await alice.store(key_id)
    await bob.store()
    async with trader(sandbox, key_id) as somebody, listening_to(alice.client) as everything:
        await everything.until("position")
        async with (
            listening_to(alice.client, CARDS) as cards,
            listening_to(alice.client, "?events=order") as orders,
            listening_to(alice.client, "?events=position,account-data") as holdings,
            listening_to(bob.client, CARDS) as bobs,
        ):
            await holdings.until("position")
            placed = await somebody.order()
            filled = await orders.until("order", id=placed["id"], status="filled")
            await everything.until("order", id=placed["id"], status="filled")
            await holdings.wait_for(lambda: holdings.heard[-1].data["sequence"] > filled.data["sequence"])
            await cards.wait_for(lambda: cards.heard[-1].data["sequence"] > filled.data["sequence"])
            assert kinds_in(cards) - _SIGNS == {"account-data"}
            assert kinds_in(orders) - _SIGNS == {"order"}
            assert kinds_in(holdings) - _SIGNS == {"account-data", "position"}
            assert kinds_in(bobs) - _SIGNS <= {"account-data"}
            # Each has the events of all, under the same numbers.
            for narrow in (cards, orders, holdings):
                numbered = {event.id: event.data for event in narrow.heard if event.id and event.kind != "heartbeat"}
                assert numbered.items() <= {event.id: event.data for event in everything.heard if event.id}.items()


async def test_only_selected_accounts_are_sent_and_read(alice: Person, bob: Person, faults: Faults) -> None:
    shown, other, foreign = paper_key(), paper_key(), paper_key()
    hers, hidden = await alice.store(shown), await alice.store(other)
    his = await bob.store(foreign)
    async with listening_to(alice.client, CARDS) as cards:
        for account in (hers, hidden):
            await cards.until("account-data", credential_id=account["id"])
        await until_read(faults, other, 1)
        selected = f"?credential_ids={hers['id']}"
        async with listening_to(alice.client, selected) as sse, listening_to(bob.client) as bobs:
            before = await faults.calls_of(other, "/v2/positions")
            await sse.until("position", credential_id=hers["id"])
            await bobs.until("position", credential_id=his["id"])
            await until_read(faults, shown, 4)
            assert await faults.calls_of(other, "/v2/positions") <= before + 1  # thirty seconds may be over
            assert {event.data["credential_id"] for event in sse.heard} == {None, hers["id"]}


async def test_somebody_elses_account_is_like_one_that_does_not_exist(alice: Person, bob: Person) -> None:
    hers, his, nobodys = await alice.store(), await bob.store(), str(uuid4())
    told: dict[str, dict[str, Any]] = {}
    async with listening_to(bob.client) as bobs:
        await bobs.until("account-data", credential_id=his["id"])
        for missing in (his["id"], nobodys):
            async with listening_to(alice.client, f"?credential_ids={hers['id']},{missing}") as sse:
                problem = await sse.until("problem", credential_id=missing)
                await sse.until("account-data", credential_id=hers["id"])
                await sse.until("heartbeat")
                told[missing] = problem.data | {"credential_id": None, "sequence": 0}
                assert {event.kind for event in sse.heard if event.data["credential_id"] == missing} == {"problem"}
    assert told[his["id"]] == told[nobodys]
    assert told[nobodys]["code"] == "credential_inactive"


async def test_an_account_that_is_added_while_a_stream_is_open_can_be_selected_at_once(
    alice: Person, bob: Person
) -> None:
    """Such as by the page of a new account, opened from a home page."""
    await alice.store()
    await bob.store()
    async with listening_to(alice.client, CARDS) as cards:
        await cards.until("account-data")
        for _ in range(3):
            new = await alice.store()
            async with listening_to(alice.client, f"?credential_ids={new['id']}") as sse:
                await sse.until("account-data", credential_id=new["id"])
                assert not sse.of("problem")


async def test_a_paused_account_is_reported_and_so_is_its_return(alice: Person, bob: Person) -> None:
    account = await alice.store()
    await bob.store()
    path = f"/api/credentials/{account['id']}"
    async with alice.client.patch(path, json={"is_active": False}) as answer:
        assert answer.status == 200
    async with listening_to(alice.client, f"?events=position&credential_ids={account['id']}") as sse:
        await sse.until("problem", code="credential_inactive", resolved=False)
        async with alice.client.patch(path, json={"is_active": True}) as answer:
            assert answer.status == 200
        await sse.until("problem", code="credential_inactive", resolved=True)
        await sse.until("position", credential_id=account["id"])
        assert kinds_in(sse) - _SIGNS == {"position"}


async def test_an_id_is_valid_for_every_selection(alice: Person) -> None:
    """Ids count all events, so an interrupted stream goes on after its last one, whatever it selects."""
    key_id = paper_key()
    await alice.store(key_id)
    async with listening_to(alice.client) as everything:
        await everything.until("position", times=3)
        async with listening_to(alice.client, CARDS) as cards:
            await cards.until("heartbeat")
        last_id = cards.last_id
        assert last_id is not None
        second = await alice.store()
        missed = await everything.until("position", credential_id=second["id"])
        async with (
            listening_to(alice.client, CARDS, last_event_id=last_id) as back,
            listening_to(alice.client, "?events=position", last_event_id=last_id) as wider,
        ):
            await back.until("account-data", credential_id=second["id"])
            assert (await wider.until("position", credential_id=second["id"])).id == missed.id
            assert not back.of("gap")
            assert not wider.of("gap")
            assert kinds_in(back) - _SIGNS == {"account-data"}
            assert kinds_in(wider) - _SIGNS == {"position"}


async def test_the_state_after_a_gap_is_that_of_the_selection(alice: Person) -> None:
    account = await alice.store()
    async with listening_to(alice.client) as everything:
        await everything.until("position")
        for query, kind in ((CARDS, "account-data"), ("?events=position", "position")):
            async with listening_to(alice.client, query, last_event_id="0000000000000000-7") as back:
                await back.until("heartbeat")
                assert back.heard[0].kind == "gap"
                assert kinds_in(back) - _SIGNS == {kind}
                assert {event.data["credential_id"] for event in back.heard} <= {None, account["id"]}


async def test_positions_are_hardly_read_for_cards_and_at_once_for_who_begins_to_look(
    alice: Person, bob: Person, faults: Faults
) -> None:
    key_id = paper_key()
    account = await alice.store(key_id)
    await bob.store(key_id)  # another person who looks at cards of the same account
    async with listening_to(alice.client, CARDS) as cards, listening_to(bob.client, CARDS):
        await cards.until("account-data")
        await until_read(faults, key_id, 1)
        began, accounts = asyncio.get_running_loop().time(), await faults.calls_of(key_id, "/v2/account")
        async with asyncio.timeout(60):
            while await faults.calls_of(key_id, "/v2/account") < accounts + 3:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.1)
        seconds = asyncio.get_running_loop().time() - began
        reads = await faults.calls_of(key_id, "/v2/positions")
        assert reads <= 1 + seconds // 30
        async with listening_to(alice.client, f"?credential_ids={account['id']}") as sse:
            await sse.until("heartbeat")
            assert sse.of("position")  # the last known ones, before anything else
            await until_read(faults, key_id, reads + 3)
        # The page is closed: its last read may be under way.
        reads, began = await faults.calls_of(key_id, "/v2/positions") + 1, asyncio.get_running_loop().time()
        accounts = await faults.calls_of(key_id, "/v2/account")
        async with asyncio.timeout(60):
            while await faults.calls_of(key_id, "/v2/account") < accounts + 3:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.1)
        seconds = asyncio.get_running_loop().time() - began
        assert await faults.calls_of(key_id, "/v2/positions") <= reads + seconds // 30


async def test_a_fill_refreshes_the_positions_that_a_later_look_begins_with(
    alice: Person, sandbox: Sandbox, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poller, "UNWATCHED_POSITIONS_SECONDS", 3600)  # a constant, so that only fills can be the reason
    monkeypatch.setattr(poller, "SETTLED_SECONDS", 3600)
    key_id = await trading_key(sandbox)
    account = await alice.store(key_id)
    async with trader(sandbox, key_id) as somebody, listening_to(alice.client, "?events=order") as sse:
        await until_read(faults, key_id, 1)
        for number in range(3):
            reads = await faults.calls_of(key_id, "/v2/positions")
            placed = await somebody.order(qty=f"0.00{number + 1}")
            await sse.until("order", id=placed["id"], status="filled")
            await until_read(faults, key_id, reads + 1)
        async with somebody.client.get("v2/positions") as answer:
            held = {position["symbol"]: position["qty"] for position in await answer.json()}
        query = f"?events=position&credential_ids={account['id']}"
        async with asyncio.timeout(60):  # the last read may still be under way
            while await _known_quantities(alice, query) != held:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.1)


async def test_polls_are_summed_up_and_failures_have_lines(
    alice: Person, bob: Person, faults: Faults, log_file: Path
) -> None:
    key_id = paper_key()
    account = await alice.store(key_id)
    await bob.store()
    log = LogSince(log_file)
    async with listening_to(alice.client) as sse, listening_to(bob.client):
        await until_read(faults, key_id, 4)
        await faults.set(key_id, path="/v2/positions", status=418)  # that of nobody else
        await sse.until("problem", code="positions_unavailable", resolved=False)
        await sse.until("account-data")
        await faults.clear()
        await sse.until("problem", code="positions_unavailable", resolved=True)
    line = await log.awaited("alpaca_polled", credential_id=account["id"])  # once the feed has ended
    failed = [each for each in log.lines() if each["event"] == "alpaca_answered" and each["status"] == 418]
    assert line["failed"] == len(failed) >= 1
    assert line["calls"] >= 9
    assert line["seconds"] > 1
    assert "request_id" not in line
    others = [each for each in log.lines() if each["event"] == "alpaca_polled" and each is not line]
    assert all(each["failed"] == 0 for each in others if each["credential_id"] != account["id"])


async def _known_quantities(person: Person, query: str) -> dict[str, str]:
    """What a stream begins with."""
    async with listening_to(person.client, query) as looking:
        await looking.until("heartbeat")
        return {event.data["symbol"]: event.data["qty"] for event in looking.of("position")}
