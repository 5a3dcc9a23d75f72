"""Faults of the trade updates stream."""

import asyncio

import orjson
import pytest
from aiohttp import ClientConnectionError, ClientSession, WSMsgType, WSServerHandshakeError

from corral_sandbox import Sandbox, secret_of, serve_sandbox
from tests.sandbox.broker import CASH_TRADER, TRADER
from tests.sandbox.listeners import (
    PATIENCE,
    authenticate,
    eventually_listen,
    listening,
    next_message,
    place_order,
)
from tests.sandbox.people import keys_of


async def _fault(http: ClientSession, sandbox: Sandbox, **fault: object) -> None:
    document = {"faults": [{"path": "/stream", **fault}]}
    async with http.put(f"{sandbox.url}/_faults", json=document) as response:
        assert response.status == 200, await response.text()


async def test_faults_refuse_the_handshake_or_reset_it(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, status=503, times=1)
    with pytest.raises(WSServerHandshakeError) as refusal:
        await http.ws_connect(f"{sandbox.paper_url}/stream")
    assert refusal.value.status == 503

    await _fault(http, sandbox, cut="before_headers")
    with pytest.raises(ClientConnectionError):
        await http.ws_connect(f"{sandbox.paper_url}/stream")
    await http.delete(f"{sandbox.url}/_faults")

    async with listening(http, sandbox, TRADER):
        pass


async def test_a_fault_of_one_account_leaves_the_others_alone(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, key_id=TRADER, stream={"refuses": True})

    async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
        assert (await authenticate(socket, TRADER))["data"]["status"] == "unauthorized"
    async with listening(http, sandbox, CASH_TRADER):
        pass


async def test_a_fault_never_answers(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, stream={"never_answers": True})
    async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
        await socket.send_json({"action": "authenticate", "data": {"key_id": TRADER, "secret_key": secret_of(TRADER)}})
        await socket.ping()
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.3)


async def test_faults_change_the_events(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, stream={"half_json": True})
    async with listening(http, sandbox, TRADER) as socket:
        await place_order(http, sandbox)
        half = await socket.receive(timeout=PATIENCE)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(half.data)

    await _fault(http, sandbox, stream={"unknown_event": True})
    async with listening(http, sandbox, CASH_TRADER) as socket:
        await place_order(http, sandbox, CASH_TRADER)
        told = [(await next_message(socket))["data"]["event"] for _ in range(6)]
    assert told[1::2] == ["pending_new", "new", "fill"]
    assert len(set(told[::2])) == 1
    assert set(told[::2]).isdisjoint(told[1::2])


async def test_a_fault_loses_every_second_event(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, stream={"loses_every": 2})
    async with listening(http, sandbox, TRADER) as socket:
        for _ in range(2):
            await place_order(http, sandbox)
        told = [(await next_message(socket))["data"]["event"] for _ in range(3)]
    assert told == ["pending_new", "fill", "new"]


async def test_a_fault_sends_text(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, stream={"text_frames": True})
    async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
        await socket.send_json({"action": "authenticate", "data": {"key_id": TRADER, "secret_key": secret_of(TRADER)}})
        message = await socket.receive(timeout=PATIENCE)
    assert message.type is WSMsgType.TEXT
    assert orjson.loads(message.data)["data"]["status"] == "authorized"


async def test_a_fault_drops_the_connection_after_a_while(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, stream={"drop_after_ms": 100}, times=1)
    async with listening(http, sandbox, TRADER) as socket:
        message = await socket.receive(timeout=PATIENCE)
        assert message.type in {WSMsgType.CLOSED, WSMsgType.ERROR}
        assert socket.close_code != 1000
    await eventually_listen(http, sandbox)


async def test_a_fault_goes_silent_and_sends_no_pong(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, stream={"silent_after_ms": 0})
    async with http.ws_connect(f"{sandbox.paper_url}/stream", autoping=False) as socket:
        await authenticate(socket, TRADER)
        await asyncio.sleep(0.1)
        await socket.ping()
        await socket.send_json({"action": "listen", "data": {"streams": ["trade_updates"]}})
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.3)


async def test_a_fault_delays_the_authorization(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, latency_ms=300)
    started = asyncio.get_running_loop().time()
    async with listening(http, sandbox, TRADER):
        assert asyncio.get_running_loop().time() - started >= 0.3


@pytest.mark.parametrize("refusal", [{"status": 429}, {"rate_limited": {"retry_after": 7}}])
async def test_a_fault_answers_the_handshake_with_429(
    sandbox: Sandbox, http: ClientSession, refusal: dict[str, object]
) -> None:
    await _fault(http, sandbox, key_id=TRADER, times=1, **refusal)
    with pytest.raises(WSServerHandshakeError) as refused:
        await http.ws_connect(f"{sandbox.paper_url}/stream", headers=keys_of(TRADER))
    assert refused.value.status == 429
    async with listening(http, sandbox, TRADER):
        pass


async def test_a_slot_stays_taken_after_its_connection_has_closed(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, stream={"slot_held_ms": 1_500}, times=1)
    async with listening(http, sandbox, TRADER):
        pass
    await _until_gone(http, sandbox)
    with pytest.raises(WSServerHandshakeError) as refused:
        await http.ws_connect(f"{sandbox.paper_url}/stream", headers=keys_of(TRADER))
    assert refused.value.status == 429
    async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
        assert (await authenticate(socket, TRADER))["data"] == {"error_message": "connection limit exceeded"}
    async with listening(http, sandbox, CASH_TRADER):
        pass
    await asyncio.sleep(1.5)
    async with listening(http, sandbox, TRADER):
        pass


async def test_a_slot_is_held_although_connections_are_not_limited(http: ClientSession) -> None:
    async with serve_sandbox(port=0, streams_per_account=0) as sandbox:
        await _fault(http, sandbox, stream={"slot_held_ms": 500}, times=1)
        async with listening(http, sandbox, TRADER):
            pass
        await _until_gone(http, sandbox)
        async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
            assert (await authenticate(socket, TRADER))["data"] == {"error_message": "connection limit exceeded"}
        await asyncio.sleep(0.5)
        async with listening(http, sandbox, TRADER):
            pass


async def test_a_slot_is_free_again_when_the_faults_are_cleared(sandbox: Sandbox, http: ClientSession) -> None:
    await _fault(http, sandbox, stream={"slot_held_ms": 600_000}, times=1)
    async with listening(http, sandbox, TRADER):
        pass
    await _until_gone(http, sandbox)
    async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
        assert "error_message" in (await authenticate(socket, TRADER))["data"]
    await http.delete(f"{sandbox.url}/_faults")
    async with listening(http, sandbox, TRADER):
        pass


async def _until_gone(http: ClientSession, sandbox: Sandbox) -> None:
    """The server notices a disconnect a little later than the client."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with http.get(f"{sandbox.url}/_health") as response:
                if not (await response.json())["streams"]:
                    return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "fault",
    [
        {"path": "/v2/account", "stream": {"refuses": True}},
        {"stream": {"refuses": True}, "status": 503},
        {"stream": {"loses_every": 0}},
        {"stream": {"made_up": True}},
        {"stream": {"slot_held_ms": -1}},
    ],
)
async def test_an_invalid_fault_is_refused(sandbox: Sandbox, http: ClientSession, fault: dict[str, object]) -> None:
    async with http.put(f"{sandbox.url}/_faults", json={"faults": [fault]}) as response:
        assert response.status == 400
