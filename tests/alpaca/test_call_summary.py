"""One log line a minute for polls that succeed. What fails, and what works again, always has a line of its own."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest

from corral.alpaca import call_summary
from corral.alpaca.call_summary import CallSummary
from corral.alpaca.client import AlpacaClient
from corral.alpaca.environments import Environment
from corral.alpaca.errors import AlpacaError
from corral.logs import begin_request_line
from corral.secret import Secret
from tests.alpaca.upstream import ACCOUNT, KEY_ID, REQUEST_ID, SECRET_KEY, Visit, answer, client_of, fetch, upstream

UNAVAILABLE = answer({"message": "down"}, "500 Internal Server Error")


async def reset(visit: Visit) -> None:
    visit.reset()


async def ask(client: AlpacaClient, path: str) -> None:
    """Fails as a poll may."""
    fetched = {"account": client.fetch_account, "positions": client.fetch_positions}[path]
    with suppress(AlpacaError):
        await fetched(Environment.PAPER, Secret(KEY_ID), Secret(SECRET_KEY), budget_key=1)


async def polled(*answers: Callable[..., Any], paths: list[str]) -> CallSummary:
    """Polls these paths in a task of its own. The answers are those of the upstream, the last one again and again."""
    summary = CallSummary()

    async def poll() -> None:
        summary.use()
        async with upstream(*answers) as served, client_of(served.url, timeout_seconds=5) as client:
            for path in paths:
                await ask(client, path)

    await asyncio.create_task(poll())
    return summary


def calls_in(lines: list[Any]) -> list[tuple[str, int | None]]:
    return [(line["path"], line["status"]) for line in lines if line["event"] != "alpaca_polled"]


def summaries_in(lines: list[Any]) -> list[tuple[int, int]]:
    return [(line["calls"], line["failed"]) for line in lines if line["event"] == "alpaca_polled"]


async def test_a_hundred_polls_are_one_line_after_the_first_one(log_lines: list[Any]) -> None:
    summary = await polled(answer(ACCOUNT), paths=["account"] * 100)
    summary.credential_id = credential_id = uuid4()
    assert calls_in(log_lines) == [("/v2/account", 200)]
    summary.write()
    line = log_lines[-1]
    assert line.pop("slowest_ms") > 0
    assert line.pop("seconds") >= 0
    assert line == {
        "event": "alpaca_polled",
        "log_level": "info",
        "environment": "paper",
        "credential_id": credential_id,
        "calls": 100,
        "failed": 0,
        "alpaca_request_id": REQUEST_ID,
    }


async def test_nothing_is_written_for_no_calls(log_lines: list[Any]) -> None:
    summary = await polled(answer(ACCOUNT), paths=["account"])
    summary.write()
    summary.write()
    assert summaries_in(log_lines) == [(1, 0)]


async def test_each_failure_and_the_first_success_after_it_have_lines(log_lines: list[Any]) -> None:
    good, bad = answer(ACCOUNT), UNAVAILABLE
    summary = await polled(good, good, bad, bad, bad, good, good, paths=["account"] * 9)
    assert calls_in(log_lines) == [("/v2/account", status) for status in (200, 500, 500, 500, 200)]
    summary.write()
    assert summaries_in(log_lines) == [(9, 3)]


async def test_a_list_that_fails_is_not_hidden_by_an_account_that_does_not(log_lines: list[Any]) -> None:
    async def by_path(visit: Visit) -> None:
        await (UNAVAILABLE if b"/v2/positions" in visit.head else answer(ACCOUNT))(visit)

    summary = await polled(by_path, paths=["account", "positions"] * 10)
    assert calls_in(log_lines) == [("/v2/account", 200)] + [("/v2/positions", 500)] * 10
    summary.write()
    assert summaries_in(log_lines) == [(20, 10)]


async def test_a_timeout_and_a_lost_connection_have_lines(log_lines: list[Any]) -> None:
    summary = await polled(answer(ACCOUNT), reset, paths=["account"] * 2)
    assert [line["event"] for line in log_lines] == ["alpaca_answered", "alpaca_failed"]
    summary.write()
    assert summaries_in(log_lines) == [(2, 1)]


async def test_a_call_that_succeeds_at_the_second_attempt_has_a_line(log_lines: list[Any]) -> None:
    good, busy = answer(ACCOUNT), answer(b"", "503 Service Unavailable")
    await polled(good, good, busy, good, paths=["account"] * 5)
    assert [line["attempts"] for line in log_lines] == [1, 2]


async def test_an_answer_that_cannot_be_used_counts_as_a_failure(log_lines: list[Any]) -> None:
    good = answer(ACCOUNT)
    summary = await polled(good, answer({"not": "an account"}), good, paths=["account"] * 4)
    events = [line["event"] for line in log_lines]
    assert events == ["alpaca_answered", "alpaca_unusable", "alpaca_answered"]  # the last one says that it is over
    summary.write()
    assert summaries_in(log_lines) == [(4, 1)]


async def test_keys_that_are_refused_have_a_line_each_time(log_lines: list[Any]) -> None:
    refused = answer({"message": "forbidden."}, "403 Forbidden")
    await polled(answer(ACCOUNT), refused, paths=["account"] * 6)
    assert [status for _, status in calls_in(log_lines)] == [200] + [403] * 5


async def test_a_line_is_written_each_minute(log_lines: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_summary, "SECONDS", 0.0)  # a constant, not our code: a minute is too long here
    await polled(answer(ACCOUNT), paths=["account"] * 4)
    assert summaries_in(log_lines) == [(1, 0)] * 3


async def test_two_accounts_are_not_mixed(log_lines: list[Any]) -> None:
    """The account that fails is told from the one that is polled at the same time and does not."""
    summaries = await asyncio.gather(
        polled(answer(ACCOUNT), paths=["account"] * 20),
        polled(answer(ACCOUNT), UNAVAILABLE, paths=["account"] * 3),
    )
    first, second = UUID(int=1), UUID(int=2)
    for summary, credential_id in zip(summaries, (first, second), strict=True):
        summary.credential_id = credential_id
        summary.write()
    counts = {
        line["credential_id"]: (line["calls"], line["failed"]) for line in log_lines if line["event"] == "alpaca_polled"
    }
    assert counts == {first: (20, 0), second: (3, 2)}


async def test_the_calls_of_requests_are_never_summed_up(log_lines: list[Any]) -> None:
    """A person or program asks while the account is polled."""
    async with upstream(answer(ACCOUNT)) as served, client_of(served.url) as client:

        async def poll() -> None:
            CallSummary().use()
            for _ in range(10):
                await ask(client, "account")

        async def request(number: int) -> None:
            line = begin_request_line(f"request-{number}")
            await fetch(client)
            assert line.take_facts()["alpaca_request_id"] == REQUEST_ID

        async def without_a_request() -> None:
            await fetch(client)

        polling = asyncio.create_task(poll())
        await asyncio.gather(*(asyncio.create_task(request(number)) for number in range(5)))
        await asyncio.gather(*(asyncio.create_task(without_a_request()) for _ in range(5)))
        await polling
    assert calls_in(log_lines) == [("/v2/account", 200)] * 6  # the first poll, and those without a line to be added to
