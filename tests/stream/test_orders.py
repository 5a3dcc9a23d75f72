"""Every change of an order is sent once, for every fault of Alpaca's socket."""

import asyncio
import json
import time
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from corral.stream import told
from corral_sandbox import Sandbox
from tests.conftest import Faults, Service
from tests.people import Person
from tests.stream.sse_client import listening_to
from tests.stream.trading import filled, filled_by_order, trader, trading_key


def id_of_an_event(hours_ago: int) -> str:
    """Of one that a process sent which is not there any more."""
    return f"{int((time.time() - 3600 * hours_ago) * 1e6):016x}{'0' * 16}-7"


def broken(key_id: str, **how: object) -> dict[str, object]:
    return {"key_id": key_id, "path": "/stream", "stream": how}


async def test_fills_of_an_order_are_sent_and_then_the_position(alice: Person, bob: Person, sandbox: Sandbox) -> None:
    key_id = await trading_key(sandbox)
    credential = await alice.store(key_id)
    left = "0.0009975"  # of a thousandth of a coin, after the fee
    async with trader(sandbox, key_id) as her, listening_to(alice.client) as sse, listening_to(bob.client) as bobs:
        await sse.until("position")
        await sse.until("account-data")
        placed = await her.order()
        fill = await sse.until("order", id=placed["id"], status="filled")
        position = await sse.until("position", symbol="BTCUSD", qty=left)
        assert fill.data["event"] == "fill"
        assert fill.data["credential_id"] == position.data["credential_id"] == credential["id"]
        assert filled_by_order(sse, credential["id"]) == {placed["id"]: Decimal("0.001")}
        await her.order(side="sell", qty=left)
        await sse.until("position", symbol="BTCUSD", qty="0")
    assert {event.kind for event in bobs.heard} == {"heartbeat"}


async def test_a_stream_begins_with_the_orders_that_are_open_or_have_just_ended(
    service: Service, alice: Person, bob: Person, sandbox: Sandbox
) -> None:
    key_id = await trading_key(sandbox)
    credential = await alice.store(key_id)
    log = service.services.state["stream"].order_log
    async with trader(sandbox, key_id) as her:
        done, waiting = await her.order(), await her.rest()
        async with listening_to(alice.client) as sse:
            for order in (done, waiting):  # Corral has just begun to watch
                await sse.until("order", id=order["id"], event="state")
            async with listening_to(alice.client) as second:
                await second.until("heartbeat")
                assert {event.data["id"] for event in second.of("order", event="state")} == {done["id"], waiting["id"]}
            await her.cancel(waiting)
            await sse.until("order", id=waiting["id"], status="canceled")
            async with listening_to(alice.client) as third:
                await third.until("heartbeat")
                assert third.of("order", id=waiting["id"])[0].data["status"] == "canceled"
            truth = filled(await her.orders())
            for each in (sse, second, third):
                assert filled_by_order(each, credential["id"]) == truth
            assert {event.data["event"] for event in sse.of("order", id=done["id"])} == {"state"}
            assert not log.heard(alice.user_id, UUID(credential["id"]), done["id"]), "nothing has happened to it"


@pytest.mark.parametrize(
    "how",
    [
        {"text_frames": True},
        {"half_json": True},
        {"unknown_event": True},
        {"loses_every": 2},
        {"loses_every": 1},
        {"drop_after_ms": 400},
        {"never_answers": True},
        {"refuses": True},
        {"silent_after_ms": 0},
    ],
    ids=str,
)
async def test_events_add_up_to_alpacas_state_for_every_fault_of_the_socket(
    alice: Person, bob: Person, sandbox: Sandbox, faults: Faults, how: dict[str, object]
) -> None:
    hers_key, his_key = await trading_key(sandbox), await trading_key(sandbox)
    hers, his = await alice.store(hers_key), await bob.store(his_key)
    await faults.set_all([broken(hers_key, **how)])
    async with (
        trader(sandbox, hers_key) as her,
        trader(sandbox, his_key) as him,
        listening_to(alice.client) as sse,
        listening_to(bob.client) as bobs,
    ):
        await sse.until("position")
        await bobs.until("position")
        for number in range(4):
            await her.order(qty=f"0.00{number + 1}")
            await him.order(qty=f"0.01{number + 1}")
            await asyncio.sleep(0.3)
        waiting = await her.rest()
        await her.cancel(waiting)
        truth = await her.orders()
        await sse.wait_for(lambda: filled_by_order(sse, hers["id"]) == filled(truth))
        await sse.until("order", id=waiting["id"], status="canceled")
        his_truth = await him.orders()
        await bobs.wait_for(lambda: filled_by_order(bobs, his["id"]) == filled(his_truth))
    for heard, credential, known in ((sse, hers, truth), (bobs, his, his_truth)):
        assert {event.data["credential_id"] for event in heard.heard} <= {None, credential["id"]}
        assert {event.data["id"] for event in heard.of("order")} == set(known)
        finals = {event.data["id"]: event.data["status"] for event in heard.of("order")}
        assert finals == {order_id: order["status"] for order_id, order in known.items()}


async def test_after_a_gap_the_state_has_all_orders_that_ended_since_the_last_known_event(
    alice: Person, bob: Person, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = await trading_key(sandbox)
    await alice.store(key_id)
    async with trader(sandbox, key_id) as her, listening_to(alice.client) as sse:
        await sse.until("account-data")
        done = await her.order()
        await sse.until("order", id=done["id"], status="filled")
        monkeypatch.setattr(told, "RECENTLY", timedelta(hours=-1))  # as if all of this had happened long ago
        async with listening_to(alice.client) as fresh:
            await fresh.until("heartbeat")
            assert not fresh.of("order")
        for hours, is_told in ((2, True), (0, False)):
            async with listening_to(alice.client, last_event_id=id_of_an_event(hours)) as back:
                await back.until("heartbeat")
                assert [event.kind for event in back.heard[:2]] == ["gap", "account-data"]
                assert bool(back.of("order", id=done["id"], event="state")) == is_told


async def test_who_comes_back_before_the_account_is_watched_is_told_those_orders_when_they_are_known(
    alice: Person, bob: Person, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "RECENTLY", timedelta(hours=-1))
    key_id = await trading_key(sandbox)
    await alice.store(key_id)
    await bob.store(key_id)
    async with trader(sandbox, key_id) as her:
        done, resting = await her.order(), await her.rest()
        async with (
            listening_to(alice.client, last_event_id=id_of_an_event(2)) as hers,
            listening_to(bob.client, last_event_id=id_of_an_event(0)) as his,
        ):
            await hers.until("order", id=done["id"], event="state")
            await hers.until("order", id=resting["id"], event="state")
            await his.until("order", id=resting["id"], event="state")
            later = await her.rest()
            await his.until("order", id=later["id"])
            assert not his.of("order", id=done["id"])
            assert len(hers.of("order", id=done["id"])) == 1


async def test_the_owners_program_keeps_its_connection(alice: Person, sandbox: Sandbox, faults: Faults) -> None:
    """The only connection is in use: Corral reports it, polls orders, and does not retry constantly."""
    key_id = await trading_key(sandbox)
    credential = await alice.store(key_id)
    async with trader(sandbox, key_id) as her, her.client.ws_connect("stream") as bot:
        keys = {"key_id": key_id, "secret_key": her.client.headers["APCA-API-SECRET-KEY"]}
        await bot.send_json({"action": "authenticate", "data": keys})
        assert json.loads(await bot.receive_bytes())["data"]["status"] == "authorized"
        async with listening_to(alice.client) as sse:
            reported = await sse.until("problem", credential_id=credential["id"])
            assert reported.data["code"] == "order_stream_taken"
            await sse.until("position")
            placed = await her.order()
            event = await sse.until("order", id=placed["id"])
            assert event.data["event"] == "reconciled"
            assert len(sse.of("problem")) == 1
            assert not bot.closed


async def test_a_fill_is_sent_at_once(alice: Person, sandbox: Sandbox) -> None:
    key_id = await trading_key(sandbox)
    credential = await alice.store(key_id)
    async with trader(sandbox, key_id) as her, listening_to(alice.client) as sse:
        await sse.until("position")
        seconds: list[float] = []
        for _ in range(20):
            began = asyncio.get_running_loop().time()
            placed = await her.order()
            event = await sse.until("order", id=placed["id"], status="filled")
            seconds.append(event.at - began)
        assert sorted(seconds)[10] < 1, seconds  # a look over REST would come later than that
    assert len(filled_by_order(sse, credential["id"])) == 20
