"""The trading socket: who may listen, what is told, and what faults make of it."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import ClientConnectionError, ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from corral.sandbox import Sandbox, secret_of, serve_sandbox
from tests.sandbox.broker import CASH_TRADER, TRADER
from tests.sandbox.judges import of_the_sdk
from tests.sandbox.people import keys_of

if TYPE_CHECKING:
    from alpaca.trading.models import TradeUpdate

_PATIENCE = 20.0
_COIN = {"symbol": "ETH/USD", "qty": "0.01", "side": "buy", "type": "market", "time_in_force": "gtc"}


async def _next(socket: ClientWebSocketResponse) -> Any:  # noqa: ANN401 - JSON
    """Answers the next message, which must be a frame of bytes."""
    message = await socket.receive(timeout=_PATIENCE)
    assert message.type is WSMsgType.BINARY, message
    return orjson.loads(message.data)


async def _authenticate(socket: ClientWebSocketResponse, key_id: str, secret: str | None = None) -> Any:  # noqa: ANN401 - JSON
    data = {"key_id": key_id, "secret_key": secret or secret_of(key_id)}
    await socket.send_json({"action": "authenticate", "data": data})
    return await _next(socket)


async def _listen(socket: ClientWebSocketResponse, *streams: str) -> Any:  # noqa: ANN401 - JSON
    await socket.send_json({"action": "listen", "data": {"streams": streams or ["trade_updates"]}})
    return await _next(socket)


@asynccontextmanager
async def _listening(http: ClientSession, sandbox: Sandbox, key_id: str) -> AsyncGenerator[ClientWebSocketResponse]:
    async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
        assert (await _authenticate(socket, key_id))["data"]["status"] == "authorized"
        assert (await _listen(socket))["data"]["streams"] == ["trade_updates"]
        yield socket


async def _order(http: ClientSession, sandbox: Sandbox, key_id: str = TRADER, **fields: object) -> Any:  # noqa: ANN401 - JSON
    url = f"{sandbox.paper_url}/v2/orders"
    async with http.post(url, headers=keys_of(key_id), json={**_COIN, **fields}) as response:
        assert response.status == 200
        return await response.json()


async def _fault(http: ClientSession, sandbox: Sandbox, **fault: object) -> None:
    document = {"faults": [{"path": "/stream", **fault}]}
    async with http.put(f"{sandbox.url}/_faults", json=document) as response:
        assert response.status == 200, await response.text()


@pytest.mark.parametrize("path", ["/stream", "/stream/", "//stream"])
async def test_who_proves_the_keys_may_listen(sandbox: Sandbox, http: ClientSession, path: str) -> None:
    async with http.ws_connect(f"{sandbox.paper_url}{path}") as socket:
        early = await _listen(socket)
        wrong = await _authenticate(socket, TRADER, "wrong")
        right = await _authenticate(socket, TRADER)
        heard = await _listen(socket, "trade_updates", "made_up")
        none = await _listen(socket, "made_up")

    def authorization(status: str, action: str) -> dict[str, object]:
        return {"stream": "authorization", "data": {"status": status, "action": action}}

    assert early == authorization("unauthorized", "listen")
    assert wrong == authorization("unauthorized", "authenticate")
    assert right == authorization("authorized", "authenticate")
    assert heard == {"stream": "listening", "data": {"streams": ["trade_updates"]}}
    assert none == {"stream": "listening", "data": {"streams": []}}


async def test_paper_keys_are_not_good_for_live(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.ws_connect(f"{sandbox.live_url}/stream") as socket:
        assert (await _authenticate(socket, TRADER))["data"]["status"] == "unauthorized"
        assert (await _authenticate(socket, "AKALICE00001"))["data"]["status"] == "authorized"


async def test_an_order_is_told_step_by_step(sandbox: Sandbox, http: ClientSession) -> None:
    async with _listening(http, sandbox, TRADER) as socket:
        order = await _order(http, sandbox)
        told = [(await _next(socket))["data"] for _ in range(3)]

    assert [update["event"] for update in told] == ["pending_new", "new", "fill"]
    assert [update["order"]["status"] for update in told] == ["pending_new", "new", "filled"]
    assert {update["order"]["id"] for update in told} == {order["id"]}
    fill = told[2]
    assert (fill["qty"], fill["position_qty"]) == ("0.01", "0.01")
    assert fill["price"] == fill["order"]["filled_avg_price"]
    assert fill["timestamp"] == fill["order"]["filled_at"]
    assert [name in told[0] for name in ("price", "qty", "position_qty", "execution_id")] == [False] * 4


async def test_what_happens_later_is_told_by_itself(sandbox: Sandbox, http: ClientSession) -> None:
    """A large order is done in parts, a quarter of a second apart, and nobody asks meanwhile."""
    async with _listening(http, sandbox, TRADER) as socket:
        await _order(http, sandbox, qty="12")
        events = [(await _next(socket))["data"] for _ in range(5)]
        while events[-1]["event"] != "fill":
            events.append((await _next(socket))["data"])

    moments = sorted({update["timestamp"] for update in events[2:]})
    assert len(moments) >= 2
    assert [update["event"] for update in events[2:-1]] == ["partial_fill"] * (len(events) - 3)


async def test_nobody_hears_of_another_account(sandbox: Sandbox, http: ClientSession) -> None:
    async with _listening(http, sandbox, TRADER) as alice, _listening(http, sandbox, CASH_TRADER) as bob:
        theirs = await asyncio.gather(
            *(_order(http, sandbox, key_id) for key_id in (TRADER, CASH_TRADER) for _ in range(5))
        )
        for socket, orders in ((alice, theirs[:5]), (bob, theirs[5:])):
            heard = {(await _next(socket))["data"]["order"]["id"] for _ in range(15)}
            assert heard == {order["id"] for order in orders}


async def test_who_stops_listening_hears_nothing(sandbox: Sandbox, http: ClientSession) -> None:
    async with _listening(http, sandbox, TRADER) as socket:
        assert (await _listen(socket, "none"))["data"]["streams"] == []
        await _order(http, sandbox)
        assert (await _listen(socket))["stream"] == "listening"


async def test_an_account_has_one_place(sandbox: Sandbox, http: ClientSession) -> None:
    async with _listening(http, sandbox, TRADER):
        async with http.ws_connect(f"{sandbox.paper_url}/stream") as second:
            refused = await _authenticate(second, TRADER)
            assert refused == {"action": "error", "data": {"error_message": "connection limit exceeded"}}
            assert (await second.receive(timeout=_PATIENCE)).type is WSMsgType.CLOSE
        with pytest.raises(WSServerHandshakeError) as refusal:
            await http.ws_connect(f"{sandbox.paper_url}/stream", headers=keys_of(TRADER))
        assert refusal.value.status == 429
        async with _listening(http, sandbox, CASH_TRADER):
            pass
    await _eventually_listen(http, sandbox)


async def _eventually_listen(http: ClientSession, sandbox: Sandbox) -> None:
    """The server learns of a goodbye a moment after the client has said it."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
                if "stream" in await _authenticate(socket, TRADER):
                    return


async def test_there_may_be_more_places(http: ClientSession) -> None:
    async with (
        serve_sandbox(port=0, streams_per_account=0) as sandbox,
        _listening(http, sandbox, TRADER) as one,
        _listening(http, sandbox, TRADER) as other,
    ):
        await _order(http, sandbox)
        assert await _next(one) == await _next(other)


async def test_what_is_no_message_is_told(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
        for text in ("", "{", "[]", "3", '{"action": 3}', '{"action": "listen", "data": []}', "[" * 20_000):
            await socket.send_str(text)
            assert (await _next(socket))["action"] == "error"
        await socket.send_bytes(b"\xff\xfe")
        assert (await _next(socket))["action"] == "error"
        await socket.send_str('{"action": "authenticate", "data": {"key_id": "é", "secret_key": "\\u00e9"}}')
        assert (await _next(socket))["data"]["status"] == "unauthorized"


async def test_a_ping_is_answered(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.ws_connect(f"{sandbox.paper_url}/stream", autoping=False) as socket:
        await socket.ping(b"well?")
        message = await socket.receive(timeout=_PATIENCE)
        assert (message.type, message.data) == (WSMsgType.PONG, b"well?")


async def test_a_plain_request_is_no_connection(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.get(f"{sandbox.paper_url}/stream") as response:
        assert response.status == 400


async def test_many_may_listen(sandbox: Sandbox, http: ClientSession) -> None:
    sockets = await asyncio.gather(*(http.ws_connect(f"{sandbox.paper_url}/stream") for _ in range(90)))
    try:
        answers = await asyncio.gather(
            *(_authenticate(socket, f"PKCROWD{number:05}") for number, socket in enumerate(sockets))
        )
        assert {answer["data"]["status"] for answer in answers} == {"authorized"}
    finally:
        await asyncio.gather(*(socket.close() for socket in sockets))


async def test_faults_refuse_the_handshake_or_reset_it(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, status=503, times=1)
    with pytest.raises(WSServerHandshakeError) as refusal:
        await http.ws_connect(f"{sandbox.paper_url}/stream")
    assert refusal.value.status == 503

    await _fault(http, sandbox, cut="before_headers")
    with pytest.raises(ClientConnectionError):
        await http.ws_connect(f"{sandbox.paper_url}/stream")
    await http.delete(f"{sandbox.url}/_faults")

    async with _listening(http, sandbox, TRADER):
        pass


async def test_a_fault_of_one_account_leaves_the_others_alone(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, key_id=TRADER, stream={"refuses": True})

    async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
        assert (await _authenticate(socket, TRADER))["data"]["status"] == "unauthorized"
    async with _listening(http, sandbox, CASH_TRADER):
        pass


async def test_a_fault_never_answers(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, stream={"never_answers": True})
    async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
        await socket.send_json({"action": "authenticate", "data": {"key_id": TRADER, "secret_key": secret_of(TRADER)}})
        await socket.ping()
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.3)


async def test_faults_spoil_what_is_told(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, stream={"half_json": True})
    async with _listening(http, sandbox, TRADER) as socket:
        await _order(http, sandbox)
        half = await socket.receive(timeout=_PATIENCE)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(half.data)

    await _fault(http, sandbox, stream={"unknown_event": True})
    async with _listening(http, sandbox, CASH_TRADER) as socket:
        await _order(http, sandbox, CASH_TRADER)
        told = [(await _next(socket))["data"]["event"] for _ in range(6)]
    assert told[1::2] == ["pending_new", "new", "fill"]
    assert len(set(told[::2])) == 1
    assert set(told[::2]).isdisjoint(told[1::2])


async def test_a_fault_loses_every_second_event(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, stream={"loses_every": 2})
    async with _listening(http, sandbox, TRADER) as socket:
        for _ in range(2):
            await _order(http, sandbox)
        told = [(await _next(socket))["data"]["event"] for _ in range(3)]
    assert told == ["pending_new", "fill", "new"]


async def test_a_fault_sends_text(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, stream={"text_frames": True})
    async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
        await socket.send_json({"action": "authenticate", "data": {"key_id": TRADER, "secret_key": secret_of(TRADER)}})
        message = await socket.receive(timeout=_PATIENCE)
    assert message.type is WSMsgType.TEXT
    assert orjson.loads(message.data)["data"]["status"] == "authorized"


async def test_a_fault_drops_the_connection_after_a_while(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, stream={"drop_after_ms": 100}, times=1)
    async with _listening(http, sandbox, TRADER) as socket:
        message = await socket.receive(timeout=_PATIENCE)
        assert message.type in {WSMsgType.CLOSED, WSMsgType.ERROR}
        assert socket.close_code != 1000
    await _eventually_listen(http, sandbox)


async def test_a_fault_falls_silent_and_answers_no_ping(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, stream={"silent_after_ms": 0})
    async with http.ws_connect(f"{sandbox.paper_url}/stream", autoping=False) as socket:
        await _authenticate(socket, TRADER)
        await asyncio.sleep(0.1)
        await socket.ping()
        await socket.send_json({"action": "listen", "data": {"streams": ["trade_updates"]}})
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.3)


async def test_a_fault_delays_the_authorization(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, latency_ms=300)
    started = asyncio.get_running_loop().time()
    async with _listening(http, sandbox, TRADER):
        assert asyncio.get_running_loop().time() - started >= 0.3


@pytest.mark.parametrize(
    "fault",
    [
        {"path": "/v2/account", "stream": {"refuses": True}},
        {"stream": {"refuses": True}, "status": 503},
        {"stream": {"loses_every": 0}},
        {"stream": {"made_up": True}},
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused(
    sandbox: Sandbox, http: ClientSession, fault: dict[str, object]
) -> None:
    async with http.put(f"{sandbox.url}/_faults", json={"faults": [fault]}) as response:
        assert response.status == 400


async def test_connections_are_counted_by_account(sandbox: Sandbox, http: ClientSession) -> None:
    for _ in range(2):
        async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
            await _authenticate(socket, TRADER, "wrong")
    async with http.get(f"{sandbox.url}/_requests") as response:
        counts = await response.json()
    assert counts["key_ids"][TRADER]["paths"] == {"/stream": 2}


@of_the_sdk
async def test_the_sdk_listens(sandbox: Sandbox, http: ClientSession) -> None:
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
        async with asyncio.timeout(_PATIENCE):
            while told.empty():  # it does not say when it listens
                order = await _order(http, sandbox)
                await asyncio.sleep(0.1)
            updates = [await told.get() for _ in range(3)]
    finally:
        await asyncio.to_thread(stream.stop)
        await asyncio.to_thread(thread.join)
    assert [update.event for update in updates] == ["pending_new", "new", "fill"]
    assert {str(update.order.id) for update in updates} == {order["id"]}
    assert updates[2].qty == 0.01
