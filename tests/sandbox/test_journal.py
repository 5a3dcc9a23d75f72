"""The journal: what each key sent and got."""

import asyncio
from typing import Any

import orjson
import pytest
from aiohttp import ClientError, ClientSession

from corral_sandbox import Sandbox, secret_of, serve_sandbox, token_of
from corral_sandbox.http import journal as journal_module
from corral_sandbox.http.journal import Journal
from tests.sandbox.broker import TRADER, TUESDAY_TEN
from tests.sandbox.listeners import authenticate
from tests.sandbox.people import ALICE, BOB, keys_of, nanoseconds

_ORDER = {"symbol": "KO", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}


async def _read(http: ClientSession, sandbox: Sandbox, key_id: str = TRADER, query: str = "") -> list[Any]:
    async with http.get(f"{sandbox.url}/_requests/{key_id}{query}") as response:
        assert response.status == 200, await response.text()
        return orjson.loads(await response.read())["items"]


async def _ask(http: ClientSession, url: str, method: str = "GET", **sent: Any) -> bytes:  # noqa: ANN401 - of aiohttp
    async with http.request(method, url, headers=keys_of(TRADER), **sent) as response:
        return await response.read()


async def test_a_request_is_kept_with_its_answer(http: ClientSession) -> None:
    now = nanoseconds(TUESDAY_TEN)
    async with serve_sandbox(port=0, clock=lambda: now) as sandbox:
        answer = await _ask(http, f"{sandbox.paper_url}/v2/orders", "POST", json=_ORDER)
        await _ask(http, f"{sandbox.url}/v2/orders/?status=all&limit=5")
        first, second = await _read(http, sandbox)
    assert first == {
        "n": 1,
        "at": "2026-11-24T15:00:00.000000000Z",
        "method": "POST",
        "path": "/v2/orders",
        "query": "",
        "body": _ORDER,
        "status": 200,
        "answer": orjson.loads(answer),
    }
    assert (second["n"], second["path"], second["query"], second["body"]) == (
        2,
        "/v2/orders",
        "status=all&limit=5",
        None,
    )


async def test_a_body_keeps_its_digits(sandbox: Sandbox, http: ClientSession) -> None:
    body = b'{"qty":1.10,"notional":123456789012345678901234567890}'
    await _ask(http, f"{sandbox.paper_url}/v2/orders", "POST", data=body)
    async with http.get(f"{sandbox.url}/_requests/{TRADER}") as response:
        assert b'"body":' + body in await response.read()


async def test_after_gives_only_later_requests(sandbox: Sandbox, http: ClientSession) -> None:
    for _ in range(3):
        await _ask(http, f"{sandbox.paper_url}/v2/clock")
    assert [item["n"] for item in await _read(http, sandbox, query="?after=1")] == [2, 3]
    assert await _read(http, sandbox, query="?after=3") == []


async def test_each_key_has_a_journal_of_its_own(sandbox: Sandbox, http: ClientSession) -> None:
    await _ask(http, f"{sandbox.paper_url}/v2/clock")
    async with http.get(f"{sandbox.url}/v2/clock", headers={"Authorization": f"Bearer {token_of(BOB)}"}):
        pass
    assert [len(await _read(http, sandbox, key_id)) for key_id in (TRADER, BOB, ALICE)] == [1, 1, 0]


async def test_refusals_and_unknown_paths_are_kept_too(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.get(f"{sandbox.paper_url}/v2/account", headers=keys_of(TRADER) | {"APCA-API-SECRET-KEY": "x"}):
        pass
    await _ask(http, f"{sandbox.paper_url}/v2/nothing")
    items = await _read(http, sandbox)
    assert [(item["path"], item["status"]) for item in items] == [("/v2/account", 401), ("/v2/nothing", 404)]
    assert items[0]["answer"] == {"message": "unauthorized."}


async def test_a_fault_shows_the_answer_that_was_sent(sandbox: Sandbox, http: ClientSession) -> None:
    faults = [
        {"status": 504, "after": True, "times": 1},
        {"body_text": "<h1>down</h1>", "status": 502, "times": 1},
        {"cut": "before_headers", "times": 1},
    ]
    await http.put(f"{sandbox.url}/_faults", json={"faults": faults})
    for _ in range(2):
        await _ask(http, f"{sandbox.paper_url}/v2/orders", "POST", json=_ORDER)
    with pytest.raises(ClientError):
        await _ask(http, f"{sandbox.paper_url}/v2/orders", "POST", json=_ORDER)
    items = await _read(http, sandbox)
    assert [(item["status"], item["answer"]) for item in items] == [
        (504, {"message": "gateway timeout"}),
        (502, "<h1>down</h1>"),
        (None, None),
    ]
    assert {item["body"]["symbol"] for item in items} == {"KO"}


async def test_a_request_under_way_has_no_status_yet(http: ClientSession) -> None:
    async with serve_sandbox(port=0, latency_seconds=30) as sandbox:
        waiting = asyncio.create_task(_ask(http, f"{sandbox.paper_url}/v2/clock"))
        async with asyncio.timeout(20):
            while not (items := await _read(http, sandbox)):  # noqa: ASYNC110 - known only by asking
                await asyncio.sleep(0.01)
        waiting.cancel()
    assert (items[0]["status"], items[0]["answer"]) == (None, None)


async def test_connections_of_the_socket_are_kept(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
        await authenticate(socket, TRADER, "wrong")
        await authenticate(socket, TRADER)
    items = await _read(http, sandbox)
    assert [(item["path"], item["status"]) for item in items] == [("/stream", 101)] * 2
    assert items[0]["answer"]["data"]["status"] == "unauthorized"


@pytest.mark.parametrize("secret", [secret_of(ALICE), token_of(ALICE)])
async def test_no_secret_is_kept_wherever_it_was_put(sandbox: Sandbox, http: ClientSession, secret: str) -> None:
    await http.put(f"{sandbox.url}/_faults", json={"faults": [{"echo": True, "times": 1}]})
    await _ask(http, f"{sandbox.paper_url}/v2/orders/{secret}?secret={secret}&x=1", "POST", json={"secret": secret})
    await _ask(http, f"{sandbox.paper_url}/v2/orders", "POST", data=f"secret={secret}&x=1".encode())
    async with http.get(f"{sandbox.url}/_requests/{TRADER}") as response:
        text = await response.text()
    assert ALICE not in text
    assert secret_of(TRADER) not in text  # of the echoed headers
    assert "x=1" in text
    assert "APCA-API" in text  # the echo itself was kept


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_put_and_delete_begin_anew(sandbox: Sandbox, http: ClientSession, method: str) -> None:
    await _ask(http, f"{sandbox.paper_url}/v2/clock")
    async with http.request(method, f"{sandbox.url}/_requests") as response:
        assert (await response.json())["requests"] == 0
    assert await _read(http, sandbox) == []
    await _ask(http, f"{sandbox.paper_url}/v2/clock")
    assert [item["n"] for item in await _read(http, sandbox)] == [1]


async def test_a_reset_of_everything_begins_the_journal_anew(sandbox: Sandbox, http: ClientSession) -> None:
    await _ask(http, f"{sandbox.paper_url}/v2/clock")
    async with http.post(f"{sandbox.url}/_reset") as response:
        assert response.status == 200
    assert await _read(http, sandbox) == []


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("alice", 400, "alice is not a key id of the sandbox"),
        (f"{ALICE}/more", 400, "is not a key id of the sandbox"),
        (f"{ALICE}?after=-1", 400, "after is the n of the last request that you have seen, not -1"),
        (f"{ALICE}?after=x", 400, "after is the n of the last request"),
        (f"{ALICE}?limit=1", 400, "limit is not a parameter here, only after"),
    ],
)
async def test_a_wrong_question_is_refused_with_a_sentence(
    sandbox: Sandbox, http: ClientSession, path: str, status: int, reason: str
) -> None:
    async with http.get(f"{sandbox.url}/_requests/{path}") as response:
        assert response.status == status
        assert reason in (await response.json())["message"]


async def test_a_journal_is_only_read(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.delete(f"{sandbox.url}/_requests/{ALICE}") as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET")


async def test_a_long_body_is_cut(sandbox: Sandbox, http: ClientSession) -> None:
    await _ask(http, f"{sandbox.paper_url}/v2/orders", "POST", data=b'"' + b"x" * 100_000 + b'"')
    (item,) = await _read(http, sandbox)
    assert item["body"] == '"' + "x" * 65_535


async def test_health_says_that_it_is_ready(http: ClientSession) -> None:
    now = nanoseconds(TUESDAY_TEN)
    async with serve_sandbox(port=0, seed=7, clock=lambda: now) as sandbox:
        await http.put(f"{sandbox.url}/_faults", json={"faults": [{"path": "/v2/account", "status": 503}]})
        await _ask(http, f"{sandbox.url}/v2/clock")
        async with http.ws_connect(f"{sandbox.url}/stream") as socket:
            await authenticate(socket, ALICE)
            async with http.get(f"{sandbox.url}/_health") as response:
                assert response.status == 200
                assert await response.json() == {
                    "status": "ok",
                    "at": "2026-11-24T15:00:00.000000000Z",
                    "seed": 7,
                    "requests": 2,
                    "streams": 1,
                    "faults": 1,
                }
        async with http.put(f"{sandbox.url}/_health") as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


def _enter(journal: Journal, key_id: str, count: int = 1, *, size: int = 0) -> None:
    for _ in range(count):
        entry = journal.begin(key_id, 0, method="POST", path="/v2/orders", body=b"x" * size)
        journal.finish(entry, 200, b"y" * size)


def _numbers(journal: Journal, key_id: str) -> list[Any]:
    return [document["n"] for document in journal.documents(key_id)]


def test_the_last_ten_thousand_of_a_key_are_kept() -> None:
    journal = Journal()
    _enter(journal, ALICE, 10_003)
    assert _numbers(journal, ALICE) == list(range(4, 10_004))


def test_bodies_of_all_keys_together_are_bounded() -> None:
    journal = Journal()
    _enter(journal, BOB, size=1_000)
    _enter(journal, ALICE, 3_000, size=65_536)
    assert _numbers(journal, BOB) == []
    kept = _numbers(journal, ALICE)
    assert kept[-1] == 3_000
    assert 400 < len(kept) <= 512
    _enter(journal, BOB)
    assert _numbers(journal, BOB) == [2]


def test_a_busy_key_drops_its_own_requests_first() -> None:
    journal = Journal()
    _enter(journal, BOB, size=1_000)
    _enter(journal, ALICE, 30_000)
    assert (len(_numbers(journal, ALICE)), _numbers(journal, BOB)) == (10_000, [1])


def test_an_answer_that_comes_after_the_journal_began_anew_is_forgotten() -> None:
    journal = Journal()
    entry = journal.begin(ALICE, 0, method="GET", path="/v2/clock")
    journal.clear()
    journal.finish(entry, 200, b"{}")
    assert journal.documents(ALICE) == []
    assert journal._size == 0  # pyright: ignore[reportPrivateUsage]  # nothing outside shows it


def test_keys_beyond_many_have_no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_KEY_IDS_KEPT", 1)
    journal = Journal()
    _enter(journal, ALICE)
    _enter(journal, BOB)
    assert (len(_numbers(journal, ALICE)), _numbers(journal, BOB)) == (1, [])
