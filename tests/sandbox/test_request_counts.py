import asyncio
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout

from corral_sandbox import Sandbox, secret_of, serve_sandbox
from corral_sandbox.http.access import RequestCounts
from tests.sandbox.people import ALICE, BOB, keys_of


async def _get(http: ClientSession, sandbox: Sandbox, headers: dict[str, str], path: str = "/v2/account") -> None:
    async with http.get(f"{sandbox.paper_url}{path}", headers=headers) as response:
        await response.read()


async def _counts(http: ClientSession, sandbox: Sandbox, method: str = "GET") -> dict[str, Any]:
    async with http.request(method, f"{sandbox.url}/_requests") as response:
        assert response.status == 200
        return await response.json()


async def test_requests_are_counted_by_key_id_and_path(sandbox: Sandbox, http: ClientSession) -> None:
    for headers, path in ((keys_of(ALICE), "/v2/account"), (keys_of(ALICE), "/v2/clock"), (keys_of(BOB), "/v2/clock/")):
        await _get(http, sandbox, headers, path)
    assert await _counts(http, sandbox) == {
        "requests": 3,
        "peak_concurrency": 1,
        "paths": {"/v2/account": 1, "/v2/clock": 2},
        "key_ids": {
            ALICE: {"requests": 2, "peak_concurrency": 1, "paths": {"/v2/account": 1, "/v2/clock": 1}},
            BOB: {"requests": 1, "peak_concurrency": 1, "paths": {"/v2/clock": 1}},
        },
    }


async def test_the_peak_is_the_number_of_simultaneous_requests(http: ClientSession) -> None:
    async with serve_sandbox(port=0, latency_seconds=0.1) as sandbox:
        await asyncio.gather(*(_get(http, sandbox, keys_of(key_id)) for key_id in (ALICE, ALICE, ALICE, BOB)))
        counts = await _counts(http, sandbox)
    assert counts["peak_concurrency"] == 4
    assert {key_id: count["peak_concurrency"] for key_id, count in counts["key_ids"].items()} == {ALICE: 3, BOB: 1}


async def test_an_aborted_request_is_no_longer_in_flight(http: ClientSession) -> None:
    async with serve_sandbox(port=0, latency_seconds=5) as sandbox:
        with pytest.raises(TimeoutError):
            async with http.get(
                f"{sandbox.paper_url}/v2/account", headers=keys_of(ALICE), timeout=ClientTimeout(total=0.05)
            ):
                pass
        async with asyncio.timeout(2):  # the server notices when the connection closes
            while (await _counts(http, sandbox, "PUT"))["peak_concurrency"]:  # noqa: ASYNC110 - known only by asking
                await asyncio.sleep(0.01)


async def test_a_request_in_flight_during_a_reset_stays_in_flight(http: ClientSession) -> None:
    async with serve_sandbox(port=0, latency_seconds=0.3) as sandbox:
        under_way = asyncio.create_task(_get(http, sandbox, keys_of(ALICE)))
        async with asyncio.timeout(2):
            while not (await _counts(http, sandbox))["requests"]:  # noqa: ASYNC110 - known only by asking
                await asyncio.sleep(0.01)
        anew = await _counts(http, sandbox, "PUT")
        await under_way
    assert (anew["requests"], anew["peak_concurrency"]) == (0, 1)
    assert anew["key_ids"] == {ALICE: {"requests": 0, "peak_concurrency": 1, "paths": {}}}


async def test_counts_can_be_reset(sandbox: Sandbox, http: ClientSession) -> None:
    await _get(http, sandbox, keys_of(ALICE))
    empty: dict[str, Any] = {"requests": 0, "peak_concurrency": 0, "paths": {}, "key_ids": {}}
    assert await _counts(http, sandbox, "PUT") == empty
    assert await _counts(http, sandbox) == empty


async def test_a_secret_is_never_shown_even_where_a_key_id_or_a_path_belongs(
    sandbox: Sandbox, http: ClientSession
) -> None:
    secret = secret_of(ALICE)
    await _get(http, sandbox, {"APCA-API-KEY-ID": secret, "APCA-API-SECRET-KEY": ALICE})
    await _get(http, sandbox, keys_of(ALICE), f"/v2/{secret}?{secret}")
    counts = await _counts(http, sandbox)
    assert secret not in str(counts)
    assert counts["key_ids"]["other"]["requests"] == 1
    assert counts["key_ids"][ALICE]["paths"] == {"other": 1}


async def test_refused_and_faulty_responses_count_too(sandbox: Sandbox, http: ClientSession) -> None:
    await http.put(f"{sandbox.url}/_faults", json={"faults": [{"status": 500, "times": 1}]})
    await _get(http, sandbox, keys_of(ALICE))
    await _get(http, sandbox, keys_of(ALICE) | {"APCA-API-SECRET-KEY": "wrong"})
    assert (await _counts(http, sandbox))["key_ids"][ALICE]["requests"] == 2


def test_key_ids_beyond_many_are_counted_together() -> None:
    counts = RequestCounts()
    for number in range(10_050):
        with counts.counting(f"PKCROWD{number:05}", "/v2/account"):
            pass
    key_ids: Any = counts.document()["key_ids"]
    assert len(key_ids) == 10_001
    assert key_ids["other"]["requests"] == 50
