"""The trade updates stream: authorization, subscription, events and connection limits."""

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError

from corral_sandbox import Sandbox, secret_of, serve_sandbox
from tests.sandbox.broker import CASH_TRADER, TRADER
from tests.sandbox.judges import of_the_sdk
from tests.sandbox.listeners import (
    PATIENCE,
    authenticate,
    eventually_listen,
    listen,
    listening,
    next_message,
    place_order,
)
from tests.sandbox.people import keys_of

if TYPE_CHECKING:
    from alpaca.trading.models import TradeUpdate


@pytest.mark.parametrize("path", ["/stream", "/stream/", "//stream"])
async def test_a_client_with_valid_keys_may_subscribe(sandbox: Sandbox, http: ClientSession, path: str) -> None:
    async with http.ws_connect(f"{sandbox.paper_url}{path}") as socket:
        early = await listen(socket)
        wrong = await authenticate(socket, TRADER, "wrong")
        right = await authenticate(socket, TRADER)
        heard = await listen(socket, "trade_updates", "made_up")
        none = await listen(socket, "made_up")

    def authorization(status: str, action: str) -> dict[str, object]:
        return {"stream": "authorization", "data": {"status": status, "action": action}}

    assert early == authorization("unauthorized", "listen")
    assert wrong == authorization("unauthorized", "authenticate")
    assert right == authorization("authorized", "authenticate")
    assert heard == {"stream": "listening", "data": {"streams": ["trade_updates"]}}
    assert none == {"stream": "listening", "data": {"streams": []}}


async def test_paper_keys_are_not_good_for_live(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.ws_connect(f"{sandbox.live_url}/stream") as socket:
        assert (await authenticate(socket, TRADER))["data"]["status"] == "unauthorized"
        assert (await authenticate(socket, "AKALICE00001"))["data"]["status"] == "authorized"


async def test_an_order_is_published_step_by_step(sandbox: Sandbox, http: ClientSession) -> None:
    async with listening(http, sandbox, TRADER) as socket:
        order = await place_order(http, sandbox)
        told = [(await next_message(socket))["data"] for _ in range(3)]

    assert [update["event"] for update in told] == ["pending_new", "new", "fill"]
    assert [update["order"]["status"] for update in told] == ["pending_new", "new", "filled"]
    assert {update["order"]["id"] for update in told} == {order["id"]}
    fill = told[2]
    assert (fill["qty"], fill["position_qty"]) == ("0.01", "0.009975")
    assert fill["price"] == fill["order"]["filled_avg_price"]
    assert fill["timestamp"] == fill["order"]["filled_at"]
    assert [name in told[0] for name in ("price", "qty", "position_qty", "execution_id")] == [False] * 4


async def test_later_events_are_published_without_a_request(sandbox: Sandbox, http: ClientSession) -> None:
    """A large order is filled in parts, a quarter of a second apart, without any request in between."""
    async with listening(http, sandbox, TRADER) as socket:
        await place_order(http, sandbox, qty="12")
        events = [(await next_message(socket))["data"] for _ in range(5)]
        while events[-1]["event"] != "fill":
            events.append((await next_message(socket))["data"])

    moments = sorted({update["timestamp"] for update in events[2:]})
    assert len(moments) >= 2
    assert [update["event"] for update in events[2:-1]] == ["partial_fill"] * (len(events) - 3)


async def test_events_of_another_account_are_not_published(sandbox: Sandbox, http: ClientSession) -> None:
    async with listening(http, sandbox, TRADER) as alice, listening(http, sandbox, CASH_TRADER) as bob:
        theirs = await asyncio.gather(
            *(place_order(http, sandbox, key_id) for key_id in (TRADER, CASH_TRADER) for _ in range(5))
        )
        for socket, orders in ((alice, theirs[:5]), (bob, theirs[5:])):
            heard = {(await next_message(socket))["data"]["order"]["id"] for _ in range(15)}
            assert heard == {order["id"] for order in orders}


async def test_a_client_that_unsubscribes_receives_nothing(sandbox: Sandbox, http: ClientSession) -> None:
    async with listening(http, sandbox, TRADER) as socket:
        assert (await listen(socket, "none"))["data"]["streams"] == []
        await place_order(http, sandbox)
        assert (await listen(socket))["stream"] == "listening"


async def test_an_account_has_one_connection(sandbox: Sandbox, http: ClientSession) -> None:
    async with listening(http, sandbox, TRADER):
        async with http.ws_connect(f"{sandbox.paper_url}/stream") as second:
            refused = await authenticate(second, TRADER)
            assert refused == {"action": "error", "data": {"error_message": "connection limit exceeded"}}
            assert (await second.receive(timeout=PATIENCE)).type is WSMsgType.CLOSE
        with pytest.raises(WSServerHandshakeError) as refusal:
            await http.ws_connect(f"{sandbox.paper_url}/stream", headers=keys_of(TRADER))
        assert refusal.value.status == 429
        async with listening(http, sandbox, CASH_TRADER):
            pass
    await eventually_listen(http, sandbox)


async def test_more_connections_can_be_allowed(http: ClientSession) -> None:
    async with (
        serve_sandbox(port=0, streams_per_account=0) as sandbox,
        listening(http, sandbox, TRADER) as one,
        listening(http, sandbox, TRADER) as other,
    ):
        await place_order(http, sandbox)
        assert await next_message(one) == await next_message(other)


async def test_an_invalid_message_is_reported(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
        for text in ("", "{", "[]", "3", '{"action": 3}', '{"action": "listen", "data": []}', "[" * 20_000):
            await socket.send_str(text)
            assert (await next_message(socket))["action"] == "error"
        await socket.send_bytes(b"\xff\xfe")
        assert (await next_message(socket))["action"] == "error"
        await socket.send_str('{"action": "authenticate", "data": {"key_id": "é", "secret_key": "\\u00e9"}}')
        assert (await next_message(socket))["data"]["status"] == "unauthorized"


async def test_a_ping_is_answered(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.ws_connect(f"{sandbox.paper_url}/stream", autoping=False) as socket:
        await socket.ping(b"well?")
        message = await socket.receive(timeout=PATIENCE)
        assert (message.type, message.data) == (WSMsgType.PONG, b"well?")


async def test_a_plain_request_is_not_a_handshake(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.get(f"{sandbox.paper_url}/stream") as response:
        assert response.status == 400


async def test_many_clients_may_subscribe(sandbox: Sandbox, http: ClientSession) -> None:
    sockets = await asyncio.gather(*(http.ws_connect(f"{sandbox.paper_url}/stream") for _ in range(90)))
    try:
        answers = await asyncio.gather(
            *(authenticate(socket, f"PKCROWD{number:05}") for number, socket in enumerate(sockets))
        )
        assert {answer["data"]["status"] for answer in answers} == {"authorized"}
    finally:
        await asyncio.gather(*(socket.close() for socket in sockets))


async def test_connections_are_counted_by_account(sandbox: Sandbox, http: ClientSession) -> None:
    for _ in range(2):
        async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
            await authenticate(socket, TRADER, "wrong")
    async with http.get(f"{sandbox.url}/_requests") as response:
        counts = await response.json()
    assert counts["key_ids"][TRADER]["paths"] == {"/stream": 2}


@of_the_sdk
async def test_the_sdk_subscribes(sandbox: Sandbox, http: ClientSession) -> None:
    from alpaca.trading.stream import TradingStream

    loop = asyncio.get_running_loop()
    told: asyncio.Queue[TradeUpdate] = asyncio.Queue()

    async def hand_over(update: Any) -> None:  # noqa: ANN401 - the SDK asks for a coroutine
        loop.call_soon_threadsafe(told.put_nowait, update)

    url = f"{sandbox.paper_url}/stream".replace("http", "ws", 1)
    stream: Any = TradingStream(TRADER, secret_of(TRADER), url_override=url)
    stream.subscribe_trade_updates(hand_over)
    thread = threading.Thread(target=stream.run)
    thread.start()
    order: Any = None
    try:
        async with asyncio.timeout(PATIENCE):
            while told.empty():  # it does not say when it listens
                order = await place_order(http, sandbox)
                await asyncio.sleep(0.1)
            updates = [await told.get() for _ in range(3)]
    finally:
        await asyncio.to_thread(stream.stop)
        await asyncio.to_thread(thread.join)
    assert [update.event for update in updates] == ["pending_new", "new", "fill"]
    assert {str(update.order.id) for update in updates} == {order["id"]}
    assert updates[2].qty == 0.01
