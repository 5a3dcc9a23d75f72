import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from corral import __version__
from corral.alpaca.client import open_alpaca
from corral.alpaca.environments import Environment, Hosts
from corral.alpaca.errors import AlpacaRateLimited, AlpacaServerError, ConnectionDropped, DeadlineExceeded, Unreachable
from corral.alpaca.requests import MOST_ATTEMPTS
from corral.secret import Secret
from tests.alpaca.upstream import (
    ACCOUNT,
    KEY_ID,
    REQUEST_ID,
    SECRET_KEY,
    Visit,
    account,
    answer,
    client_of,
    fetch,
    opened,
    upstream,
)

UNAVAILABLE = answer(b"", "503 Service Unavailable")


async def hang_up(visit: Visit) -> None:
    visit.hang_up()


async def reset(visit: Visit) -> None:
    visit.reset()


def counted(limit: int, remaining: int) -> dict[str, str]:
    return {
        "X-Ratelimit-Limit": str(limit),
        "X-Ratelimit-Remaining": str(remaining),
        "X-Ratelimit-Reset": str(int(time.time()) + 30),
    }


async def test_the_account_has_the_time_and_the_id_of_the_response() -> None:
    async def slowly(visit: Visit) -> None:
        await asyncio.sleep(0.1)
        await answer(ACCOUNT)(visit)

    async with upstream(slowly) as served, client_of(served.url) as client:
        asked_at = datetime.now(UTC)
        got = await fetch(client)
        done_at = datetime.now(UTC)
    assert (opened(got).cash, opened(got).equity) == (ACCOUNT["cash"], ACCOUNT["equity"])
    assert got.answered_at.tzinfo is UTC
    assert asked_at + timedelta(seconds=0.1) <= got.answered_at <= done_at
    assert 0.1 <= got.latency_seconds <= (done_at - asked_at).total_seconds() + 0.1
    assert got.alpaca_request_id == REQUEST_ID


async def test_nothing_is_sent_but_the_request() -> None:
    async with upstream(answer(ACCOUNT)) as served, client_of(f"{served.url}/paper/") as client:
        await fetch(client)
    request, *headers = served.heads[0].decode().split("\r\n")
    assert request == "GET /paper/v2/account HTTP/1.1"
    assert sorted(filter(None, headers)) == [
        f"APCA-API-KEY-ID: {KEY_ID}",
        f"APCA-API-SECRET-KEY: {SECRET_KEY}",
        "Accept-Encoding: identity",
        "Accept: application/json",
        f"Host: {served.url.removeprefix('http://')}",
        f"User-Agent: corral/{__version__}",
    ]


async def test_paper_keys_go_to_the_paper_host_and_live_keys_to_the_live_host() -> None:
    async with upstream(answer(ACCOUNT)) as paper, upstream(answer(ACCOUNT)) as live:
        hosts = Hosts.from_urls(paper=paper.url, live=live.url)
        async with open_alpaca(hosts) as client:
            await client.fetch_account(Environment.PAPER, Secret("PK1"), Secret("s"), budget_key=1)
            assert (paper.connections, live.connections) == (1, 0)
            await client.fetch_account(Environment.LIVE, Secret("AK1"), Secret("s"), budget_key=1)
            assert (paper.connections, live.connections) == (1, 1)


async def test_neither_proxy_nor_netrc_nor_cookies_are_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("default login mallory password mallory")
    cookie = {"Set-Cookie": "session=mallory; Path=/"}
    async with upstream(answer(ACCOUNT)) as proxy, upstream(answer(ACCOUNT, headers=cookie)) as served:
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with client_of(served.url) as client:
            await fetch(client)
            await fetch(client)
    assert (proxy.connections, len(served.heads)) == (0, 2)
    assert b"mallory" not in b"".join(served.heads)
    assert b"authorization" not in b"".join(served.heads).lower()


async def test_consecutive_calls_share_a_connection() -> None:
    async with upstream(answer(ACCOUNT)) as served, client_of(served.url) as client:
        for _ in range(5):
            await fetch(client)
        assert (served.connections, len(served.heads)) == (1, 5)


async def test_three_hundred_callers_at_once_are_served_at_once() -> None:
    async def after_a_moment(visit: Visit) -> None:
        await asyncio.sleep(0.2)
        await answer(ACCOUNT)(visit)

    async with upstream(after_a_moment) as served, client_of(served.url, timeout_seconds=3) as client:
        got = await asyncio.gather(*(fetch(client, budget_key=caller) for caller in range(300)))
        assert len(got) == served.connections == 300


async def test_responses_are_never_mixed_up() -> None:
    async def by_key(visit: Visit) -> None:
        key_id = next(line for line in visit.head.decode().split("\r\n") if "KEY-ID" in line).partition(": ")[2]
        await asyncio.sleep(0.001 * (int(key_id[2:]) % 7))
        await answer(account(id=key_id))(visit)

    async with upstream(by_key) as served, client_of(served.url, timeout_seconds=3) as client:

        async def ask(number: int) -> None:
            for _ in range(3):
                key_id = Secret(f"PK{number}")
                got = await client.fetch_account(Environment.PAPER, key_id, Secret("s"), budget_key=number)
                assert got.account.id == f"PK{number}"

        await asyncio.gather(*map(ask, range(50)))


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"])
async def test_a_temporary_failure_is_retried(status: str, log_lines: list[Any]) -> None:
    async with upstream(answer(b"", status), answer(ACCOUNT)) as served, client_of(served.url) as client:
        assert opened(await fetch(client)).cash == ACCOUNT["cash"]
    assert len(served.heads) == 2
    assert [(line["event"], line["status"], line["attempts"]) for line in log_lines] == [("alpaca_answered", 200, 2)]


async def test_a_permanent_failure_is_tried_three_times(log_lines: list[Any]) -> None:
    async with upstream(UNAVAILABLE) as served, client_of(served.url, timeout_seconds=5) as client:
        with pytest.raises(AlpacaServerError) as failed:
            await fetch(client)
    assert (failed.value.status, len(served.heads)) == (503, MOST_ATTEMPTS)
    assert [(line["failure"], line["status"], line["attempts"]) for line in log_lines] == [(None, 503, MOST_ATTEMPTS)]


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "404 Not Found", "429 Too Many Requests"])
async def test_a_rejection_is_never_retried(status: str) -> None:
    async with upstream(answer(b"", status)) as served, client_of(served.url) as client:
        with pytest.raises(Exception, match="status"):
            await fetch(client)
        assert len(served.heads) == 1


async def test_there_is_no_retry_pause_beyond_the_deadline() -> None:
    async def late(visit: Visit) -> None:
        await asyncio.sleep(0.4)
        await UNAVAILABLE(visit)

    async with upstream(late) as served, client_of(served.url) as client:
        calls = (fetch(client, budget_key=caller) for caller in range(20))
        failures = await asyncio.gather(*calls, return_exceptions=True)
    kinds = {type(failure) for failure in failures}
    assert kinds <= {AlpacaServerError, DeadlineExceeded}  # a short pause is begun, and its attempt then cut off
    assert AlpacaServerError in kinds


@pytest.mark.parametrize("cut", [hang_up, reset], ids=["closed", "reset"])
async def test_a_pooled_connection_closed_by_the_server_is_replaced(
    cut: Callable[[Visit], Awaitable[None]],
) -> None:
    async with upstream(*[answer(ACCOUNT), cut] * 5, answer(ACCOUNT)) as served, client_of(served.url) as client:
        began = asyncio.get_running_loop().time()
        for _ in range(6):
            await fetch(client)
        # A fresh connection is tried without a pause: five of them would have taken half a second.
        assert asyncio.get_running_loop().time() - began < 0.3
    assert (served.connections, len(served.heads)) == (6, 11)


async def test_a_server_that_always_closes_the_connection_is_tried_three_times() -> None:
    async with upstream(hang_up) as served, client_of(served.url, timeout_seconds=5) as client:
        with pytest.raises(ConnectionDropped):
            await fetch(client)
        assert served.connections == len(served.heads) == MOST_ATTEMPTS


async def test_without_a_listener_alpaca_is_unreachable(log_lines: list[Any]) -> None:
    async with upstream() as gone:
        pass
    async with client_of(gone.url, timeout_seconds=3) as client:
        with pytest.raises(Unreachable) as failed:
            await fetch(client)
    assert type(failed.value) is Unreachable
    assert [line["event"] for line in log_lines] == ["alpaca_failed"]
    assert gone.url.rpartition(":")[2] not in f"{failed.value!r} {failed.value} {log_lines}"


async def test_a_connection_that_was_refused_costs_no_budget() -> None:
    async with upstream() as gone:
        pass
    async with client_of(gone.url, timeout_seconds=0.02) as client:
        for _ in range(250):
            with pytest.raises((Unreachable, DeadlineExceeded)):
                await fetch(client)


async def test_a_429_is_not_retried(log_lines: list[Any]) -> None:
    too_many = answer(b'{"message":"rate limit exceeded"}', "429 Too Many Requests", {"Retry-After": "17"})
    async with upstream(too_many) as served, client_of(served.url) as client:
        with pytest.raises(AlpacaRateLimited) as reported:
            await fetch(client)
        with pytest.raises(AlpacaRateLimited) as known:
            await fetch(client)
        assert len(served.heads) == 1
        with pytest.raises(AlpacaRateLimited):
            await fetch(client, budget_key="bob")
        assert len(served.heads) == 2
    assert (reported.value.from_us, reported.value.status, reported.value.retry_after_seconds) == (False, 429, 17)
    assert (known.value.from_us, known.value.status) == (True, None)
    assert 1 <= known.value.retry_after_seconds <= 17
    assert len(log_lines) == 2


async def test_a_used_up_budget_is_an_error_without_a_call() -> None:
    async with upstream(answer(ACCOUNT, headers=counted(200, 0))) as served, client_of(served.url) as client:
        await fetch(client)
        with pytest.raises(AlpacaRateLimited) as spent:
            await fetch(client)
        assert len(served.heads) == 1
    assert spent.value.from_us
    assert 1 <= spent.value.retry_after_seconds <= 30


async def test_retries_are_charged_to_the_budget() -> None:
    unavailable = answer(b"", "503 Service Unavailable", counted(200, 0))
    async with upstream(unavailable) as served, client_of(served.url) as client:
        with pytest.raises(AlpacaRateLimited):
            await fetch(client)
        assert len(served.heads) == 1


async def test_a_cancelled_call_leaves_nothing_behind() -> None:
    asked = asyncio.Event()

    async def never(visit: Visit) -> None:
        asked.set()
        await asyncio.sleep(30)

    async with upstream(never, answer(ACCOUNT)) as served, client_of(served.url, timeout_seconds=5) as client:
        call = asyncio.create_task(fetch(client))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert opened(await fetch(client)).cash == ACCOUNT["cash"]
        assert served.connections == 2  # the half-used connection is not used again


async def test_one_line_is_logged_for_each_call(log_lines: list[Any]) -> None:
    async with upstream(answer(ACCOUNT)) as served, client_of(served.url) as client:
        await fetch(client)
    (line,) = log_lines
    assert line.pop("duration_ms") > 0
    assert line == {
        "event": "alpaca_answered",
        "log_level": "info",
        "environment": "paper",
        "path": "/v2/account",
        "status": 200,
        "failure": None,
        "alpaca_request_id": REQUEST_ID,
        "attempts": 1,
    }


async def test_an_invalid_request_id_is_not_logged(log_lines: list[Any]) -> None:
    async with (
        upstream(answer(ACCOUNT, headers={"X-Request-ID": SECRET_KEY})) as served,
        client_of(served.url) as client,
    ):
        assert (await fetch(client)).alpaca_request_id is None
    assert SECRET_KEY not in repr(log_lines)
