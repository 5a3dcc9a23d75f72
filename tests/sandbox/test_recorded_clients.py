"""What other people's clients send is answered as they need it: their recorded requests, sent again.

`make clients` runs the clients themselves and compares what they send with these recordings: see `tests/clients`. Those
of `go` and `csharp` are written from the public sources of Alpaca's SDKs for these languages.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

import orjson
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from yarl import URL

from corral_sandbox import Sandbox, secret_of, token_of
from tests.clients import recordings
from tests.clients.recordings import Message, msgpack
from tests.sandbox.judges import judge, judge_of_data
from tests.sandbox.people import keys_of

_PATIENCE = 20.0
_DATA = ("/v2/stocks/", "/v1beta1/", "/v1beta3/")
# In the document's schema a fill is two things at once; docs/sandbox.md says why corporate actions differ.
_NOT_JUDGED = ("/v2/account/activities", "/v2/corporate_actions")
_CLIENTS = sorted(path.stem for path in recordings.FOLDER.glob("*.jsonl"))

# What the SDK for C# requires of an answer, and refuses to go on without. It also required `pattern_day_trader` of an
# account and `dtbp_check` of its configurations, until Alpaca stopped sending them.
_NEEDED_IN_CSHARP = {
    r"/v2/account": "id status cash trading_blocked transfers_blocked account_blocked created_at",
    r"/v2/account/configurations": "trade_confirm_email suspend_trade no_shorting",
    r"/v2/clock": "timestamp is_open next_open next_close",
    r"/v2/calendar": "date open close session_open session_close",
    r"/v2/assets(/.*)?": "id exchange symbol name status tradable",
    r"/v2/orders(/.*|:.*)?": "id asset_id symbol asset_class filled_qty type order_class side time_in_force status",
    r"/v2/positions(/.*)?": (
        "asset_id symbol exchange asset_class avg_entry_price qty market_value cost_basis unrealized_pl "
        "unrealized_plpc unrealized_intraday_pl unrealized_intraday_plpc lastday_price change_today"
    ),
    r"/v2/account/portfolio/history": "equity profit_loss profit_loss_pct timestamp timeframe base_value",
}
_PAGE_IN_CSHARP = {
    "option_contracts": (
        "id symbol name status tradable size type strike_price expiration_date style root_symbol underlying_symbol "
        "underlying_asset_id"
    ),
    "bars": "o c l h v t",
    "quotes": "t ax bx",
}


@pytest.fixture
async def still() -> AsyncIterator[Sandbox]:
    async with recordings.still_sandbox() as running:
        yield running


@pytest.mark.parametrize("client", _CLIENTS)
async def test_a_recorded_client_gets_what_it_needs(
    client: str, still: Sandbox, http: ClientSession, official: dict[str, Any], official_data: dict[str, Any]
) -> None:
    replay = _Replay(http, still, f"PKCLIENT{client.upper().replace('_', '')}")
    for line in recordings.read(client):
        if "socket" in line:
            await replay.listen(line)
            continue
        answer = await replay.ask(line)
        path = line["path"].partition("?")[0].removeprefix("/paper")
        if line["status"] == 200:
            documents = official_data if path.startswith(_DATA) else official
            _judge_officially(documents, line["method"], path, answer, is_data=path.startswith(_DATA))
            if client == "csharp":
                _judge_for_csharp(line["method"], path, answer)
        _judge_values(answer)


class _Replay:
    def __init__(self, http: ClientSession, sandbox: Sandbox, key_id: str) -> None:
        self._http = http
        self._sandbox = sandbox
        self._key_id = key_id
        self._answers: list[Any] = []

    async def ask(self, line: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON
        """Sends a recorded request, and returns the answer, which must have the recorded status."""
        path = recordings.filled_in(line["path"], self._answers)
        body = recordings.filled_in(json.dumps(line["body"]), self._answers) if "body" in line else None
        url = URL(self._sandbox.url + path, encoded=True)
        headers = {name: self._unmask(value) for name, value in line["headers"].items()}
        async with self._http.request(line["method"], url, data=body, headers=headers) as response:
            content = await response.read()
            assert response.status == line["status"], (line, content)
        is_json = response.content_type == "application/json" and content
        self._answers.append(orjson.loads(content) if is_json else content.decode())
        return self._answers[-1]

    async def listen(self, line: dict[str, Any]) -> None:
        """Opens a recorded WebSocket and sends its messages; each is answered, and what was asked for arrives."""
        async with self._http.ws_connect(self._sandbox.url + line["socket"], headers=line["headers"]) as socket:
            is_of_data = "stream" not in line["socket"]
            if is_of_data:
                assert await _next(socket) == [{"T": "success", "msg": "connected"}]
            messages: list[Any] = []
            for form, content in (next(iter(sent.items())) for sent in line["sent"]):
                await _send(socket, Message(form, json.loads(self._unmask(json.dumps(content)))))
                messages.append(await _next(socket))
            if is_of_data:
                await _judge_data(socket, messages, line["sent"], is_packed=bool(line["headers"]))
            else:
                await self._judge_trade_updates(socket, messages)

    async def _judge_trade_updates(self, socket: ClientWebSocketResponse, messages: list[Any]) -> None:
        assert messages[0] == {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
        assert messages[1] == {"stream": "listening", "data": {"streams": ["trade_updates"]}}
        order = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
        url = f"{self._sandbox.paper_url}/v2/orders"
        async with self._http.post(url, json=order, headers=keys_of(self._key_id)) as response:
            assert response.status == 200
        update: dict[str, Any] = {}
        while update.get("event") != "fill":
            update = (await _next(socket))["data"]
        assert (update["price"], update["qty"], update["order"]["symbol"]) == ("270", "1", "AAPL")

    def _unmask(self, text: str) -> str:
        text = text.replace("SECRET", secret_of(self._key_id)).replace("TOKEN", token_of(self._key_id))
        return text.replace("KEY", self._key_id)


async def _send(socket: ClientWebSocketResponse, message: Message) -> None:
    frame = message.to_frame()
    await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))


async def _next(socket: ClientWebSocketResponse) -> Any:  # noqa: ANN401 - JSON or MessagePack
    frame = await socket.receive(timeout=_PATIENCE)
    assert frame.type in {WSMsgType.TEXT, WSMsgType.BINARY}, frame
    if isinstance(frame.data, str) or frame.data[:1] in (b"{", b"["):
        return orjson.loads(frame.data)
    return msgpack.unpackb(frame.data)


async def _judge_data(
    socket: ClientWebSocketResponse, messages: list[Any], sent: list[dict[str, Any]], *, is_packed: bool
) -> None:
    assert messages[0] == [{"T": "success", "msg": "authenticated"}]
    (subscribed,) = (next(iter(sent[1].values())),)
    wanted = {"t" if channel == "trades" else "q" for channel in ("trades", "quotes") if subscribed.get(channel)}
    seen = [message for frame in messages for message in frame]
    while not wanted <= {message["T"] for message in seen}:
        seen += await _next(socket)
    assert "subscription" in {message["T"] for message in seen}
    assert "error" not in {message["T"] for message in seen}
    for message in seen:
        assert next(iter(message)) == "T"  # the SDK for Go refuses a message that begins otherwise
        if message["T"] == "t":
            assert message["p"] == recordings.PRICES[message["S"]]
        if message["T"] in {"t", "q"}:
            assert isinstance(message["t"], msgpack.Timestamp if is_packed else str)
            sizes = [message[name] for name in ("s", "bs", "as") if name in message]
            assert all(isinstance(size, float if "/" in message["S"] else int) for size in sizes)  # as Go reads them


def _judge_officially(official: dict[str, Any], method: str, path: str, answer: object, *, is_data: bool) -> None:
    """Compares an answer with Alpaca's OpenAPI document, if that has its path and a schema that can be met."""
    is_of_legs = isinstance(answer, dict) and cast("dict[str, Any]", answer).get("order_class") == "mleg"
    if path.startswith(_NOT_JUDGED) or is_of_legs:  # the document's own example of an order with legs breaks its schema
        return
    operations = official["paths"].items()
    known = [each for each, operation in operations if method.lower() in operation and _is_like(each, path)]
    pattern = min(known, key=lambda each: each.count("{"), default=None)
    if pattern is None:
        return
    if is_data:
        judge_of_data(official, pattern).validate(answer)
    elif "application/json" in official["paths"][pattern][method.lower()]["responses"]["200"].get("content", {}):
        judge(official, pattern, method.lower()).validate(answer)


def _is_like(pattern: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", pattern), path) is not None


def _judge_for_csharp(method: str, path: str, answer: Any) -> None:  # noqa: ANN401 - any JSON
    kind = "/v2/orders" if (method, "/v2/positions/" in path) == ("DELETE", True) else path  # it answers with an order
    needed = next((names for pattern, names in _NEEDED_IN_CSHARP.items() if re.fullmatch(pattern, kind)), "")
    documents: list[Any] = list(_flat(answer)) if isinstance(answer, list) else [answer]
    for document in documents:
        assert set(needed.split()) <= document.keys()
        for name, names in _PAGE_IN_CSHARP.items():
            assert all(set(names.split()) <= each.keys() for each in _flat(document.get(name, [])))


def _flat(found: Any) -> Iterator[Any]:  # noqa: ANN401 - a list of documents, or such lists or single ones by symbol
    values: list[Any] = list(found.values()) if hasattr(found, "values") else [found]
    for value in values:
        yield from value if isinstance(value, list) else [value]


def _judge_values(answer: Any) -> None:  # noqa: ANN401 - any JSON
    """What is true of every bar and quote, and of what was bought at prices that stand still."""
    for document in _documents(answer):
        if {"o", "h", "l", "c"} <= document.keys():
            assert document["l"] <= min(document["o"], document["c"]) <= max(document["o"], document["c"])
            assert max(document["o"], document["c"]) <= document["h"]
        if {"bp", "ap"} <= document.keys():
            assert document["bp"] <= document["ap"]
        paid = document.get("filled_avg_price") or document.get("avg_entry_price")
        price = recordings.PRICES.get(str(document.get("symbol")).replace("BTCUSD", "BTC/USD"))
        if paid is not None and price is not None:
            assert Decimal(paid) == price


def _documents(answer: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any JSON
    if isinstance(answer, dict):
        document = cast("dict[str, Any]", answer)
        yield document
        for value in document.values():
            yield from _documents(value)
    elif isinstance(answer, list):
        for value in cast("list[Any]", answer):
            yield from _documents(value)


async def test_what_the_sdk_for_csharp_still_requires_can_be_sent_again(http: ClientSession, still: Sandbox) -> None:
    fault = {"path": "/v2/account", "account_raw": {"pattern_day_trader": "false"}}
    async with http.put(f"{still.url}/_faults", json={"faults": [fault]}) as answer:
        assert answer.status < 300
    async with http.get(f"{still.url}/v2/account", headers=keys_of("PKCSHARP0001")) as answer:
        account = await answer.json()
    assert (account["pattern_day_trader"], account["status"]) == (False, "ACTIVE")


async def test_the_sdk_for_go_reads_trade_updates_as_server_sent_events(http: ClientSession, still: Sandbox) -> None:
    """It sends no `Accept`, and reads lines that begin with `data: `."""
    headers = keys_of("PKGOPHER0001")
    order = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
    async with http.get(f"{still.paper_url}/v2/events/trades", headers=headers) as stream:
        assert stream.status == 200
        async with http.post(f"{still.paper_url}/v2/orders", json=order, headers=headers) as response:
            assert response.status == 200
        events: list[Any] = []
        async with asyncio.timeout(_PATIENCE):
            while not any(event["event"] == "fill" for event in events):
                line = await stream.content.readline()
                if line.startswith(b"data: "):
                    events.append(orjson.loads(line.removeprefix(b"data: ")))
    filled = events[-1]
    assert (filled["price"], filled["qty"], filled["position_qty"]) == ("270", "1", "1")
    assert datetime.fromisoformat(filled["at"]).tzinfo is not None
    assert isinstance(filled["event_id"], str)
