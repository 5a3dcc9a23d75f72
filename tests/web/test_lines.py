"""The small lines on the cards: drawn exactly, cheap for Alpaca, nobody else's, and never in the way."""

import asyncio
import re
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from corral.accounts.schemas import HistoryPointResponse, PortfolioHistoryResponse
from corral.credentials.queries import mark_refused
from corral.database.connection import get_connection_with_rls
from corral.web.lines import HEIGHT, WIDTH, line_of
from tests.conftest import Faults, Service, StartService
from tests.doors import sign_in_by_link
from tests.people import Person, live_key, make_person, paper_key
from tests.web.conftest import BROWSER
from tests.web.html import Parsed, read_page

_HISTORY = "/v2/account/portfolio/history"
_NUMBER = r"[0-9]{1,3}\.[0-9]"
_DRAWN = re.compile(rf"{_NUMBER},{_NUMBER}( {_NUMBER},{_NUMBER})*")
_AMOUNTS = st.decimals(min_value=-(10**20), max_value=10**20, places=6, allow_nan=False, allow_infinity=False)


def _history(
    *equities: str | None, base: str | None = None, at: str = "2026-11-24T{:02}:{:02}:00Z"
) -> PortfolioHistoryResponse:
    points = [
        HistoryPointResponse(
            at=at.format(9 + n // 4, n % 4 * 15), equity=equity, profit_loss=None, profit_loss_pct=None
        )
        for n, equity in enumerate(equities)
    ]
    return PortfolioHistoryResponse(
        timeframe="15Min",
        base_value=base,
        base_value_asof=None,
        items=points,
        unreadable=0,
        missing=0,
        next_cursor=None,
    )


def test_a_line_goes_from_left_to_right_and_up_with_the_equity() -> None:
    line = line_of(_history("100", "150", "200", base="100"))
    assert line is not None
    assert line.points == "0.0,39.0 4.7,20.0 9.4,1.0"  # 4:00, 4:15 and 4:30 of a day that ends at 20:00
    assert line.close == "39.0"


def test_the_last_quarter_of_an_hour_ends_near_the_right_edge() -> None:
    line = line_of(_history(*[str(n) for n in range(1, 61)]))
    assert line is not None
    assert line.points.split()[-1] == "276.6,1.0"


def test_what_never_moved_is_a_line_in_the_middle() -> None:
    line = line_of(_history("100", "100.00", base="100.0"))
    assert line is not None
    assert line.points == "0.0,20.0 4.7,20.0"


@pytest.mark.parametrize("equities", [(), ("100",), (None, None), ("0", "0"), ("0", None, "5")])
def test_without_two_points_of_a_funded_account_there_is_no_line(equities: tuple[str | None, ...]) -> None:
    assert line_of(_history(*equities)) is None


def test_a_gap_is_bridged_and_the_time_before_the_money_is_left_out() -> None:
    line = line_of(_history("0", "100", None, "200"))
    assert line is not None
    assert line.points == "4.7,39.0 14.1,1.0"


def test_of_too_many_points_some_are_drawn_and_the_last_one_always() -> None:
    line = line_of(_history(*[str(n) for n in range(1, 241)], at="2026-11-24T15:00:00Z"))
    assert line is not None
    assert len(line.points.split()) == 80
    assert line.points.endswith(",1.0")


@given(st.lists(_AMOUNTS, min_size=2, max_size=200), st.one_of(st.none(), _AMOUNTS))
def test_every_line_stays_in_its_place_and_is_small(amounts: list[Decimal], base: Decimal | None) -> None:
    """Whatever the amounts: it is within the drawing, has at most eighty points, and no letter in it."""
    history = _history(
        *[f"{amount:f}" for amount in amounts],
        base=None if base is None else f"{base:f}",
        at="2026-11-24T{0:02}:{1:02}:00Z" if len(amounts) < 50 else "2026-11-24T10:00:00Z",
    )
    line = line_of(history)
    if line is None:
        assert not any(amounts[:-1])
        return
    assert _DRAWN.fullmatch(line.points)
    points = [tuple(map(Decimal, point.split(","))) for point in line.points.split()]
    assert len(points) <= 80
    assert len(line.points) < 1_500
    assert all(0 <= across <= WIDTH and 0 <= height <= HEIGHT for across, height in points)
    assert line.close is None or 0 <= Decimal(line.close) <= HEIGHT


async def test_a_card_has_its_line_without_a_script(alice: Person, alices: ClientSession) -> None:
    await alice.store()
    while _points_in(parsed := await read_page(alices, "/?wait")) == [""]:
        pass  # a busy machine is slow
    (points,) = _points_in(parsed)
    assert _DRAWN.fullmatch(points)
    (drawing,) = parsed.attributes("svg")
    assert "last trading day, extended hours included" in str(drawing["aria-label"])


async def test_however_many_look_alpaca_is_asked_once(alice: Person, alices: ClientSession, faults: Faults) -> None:
    key = paper_key()
    await alice.store(key)
    for path in ["/?wait", "/", "/", "/?wait"]:
        await read_page(alices, path)
        await _lines(alices)
    assert await faults.calls_of(key, _HISTORY) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 200, "body_text": "[]", "content_type": "application/json"},
        {
            "status": 200,
            "body_text": '{"timestamp":[],"equity":[],"profit_loss":[],"profit_loss_pct":[],"base_value":null,'
            '"timeframe":"15Min"}',
            "content_type": "application/json",
        },
    ],
)
async def test_a_history_that_fails_or_is_empty_is_no_line_and_no_trouble_and_not_asked_again(
    fault: dict[str, object], alice: Person, alices: ClientSession, faults: Faults
) -> None:
    key = paper_key()
    stored = await alice.store(key)
    await faults.set(key, path=_HISTORY, **fault)
    parsed = await read_page(alices, "/?wait")
    assert _points_in(parsed) == [""]
    assert not [tag for _, tag in parsed.tags if str(tag.get("class")).startswith("notice problem")]
    asked = await faults.calls_of(key, _HISTORY)
    assert await _lines(alices) == {stored["id"]: None}
    await read_page(alices, "/?wait")
    assert await faults.calls_of(key, _HISTORY) == asked > 0


async def test_a_slow_history_keeps_no_figure_waiting_and_arrives_later(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    slow = paper_key()
    stored = await alice.store(slow)
    await alice.store(nickname="well")
    await read_page(alices, "/?wait")
    await faults.set(slow, path=_HISTORY, latency_ms=800)
    async with alice.client.patch(f"/api/credentials/{stored['id']}", json={"is_active": False}):
        pass
    async with alice.client.patch(f"/api/credentials/{stored['id']}", json={"is_active": True}):
        pass  # what was kept is not for the new revision
    parsed = await read_page(alices, "/")
    assert sum(points == "" for points in _points_in(parsed)) == 1
    assert "Wait for it" not in parsed.text()
    while stored["id"] not in (found := await _lines(alices)):
        pass
    assert _DRAWN.fullmatch(found[stored["id"]]["points"])


async def test_whoever_waits_for_figures_does_not_wait_for_a_line(start_service: StartService, faults: Faults) -> None:
    async with start_service(upstream_timeout_seconds=50) as service, make_person(service, "alice") as alice:
        key = paper_key()
        await alice.store(key)
        await faults.set(key, path=_HISTORY, latency_ms=40_000)
        cookie = await sign_in_by_link(service, alice.user_id)
        async with ClientSession(service.url, headers={**BROWSER, "Cookie": cookie}) as session, asyncio.timeout(30):
            parsed = await read_page(session, "/?wait")
    assert _points_in(parsed) == [""]
    assert "As of" in parsed.text()


async def test_alice_and_bob_have_their_own_lines_and_no_others(
    alice: Person, bob: Person, alices: ClientSession, bobs: ClientSession
) -> None:
    alices_one, bobs_one = await alice.store(), await bob.store(live_key())
    assert set(await _lines(alices)) == {alices_one["id"]}
    assert set(await _lines(bobs)) == {bobs_one["id"]}


async def test_keys_that_are_marked_as_refused_have_no_line_until_they_work_again(
    service: Service, alice: Person, alices: ClientSession, faults: Faults
) -> None:
    key = paper_key()
    stored = await alice.store(key)
    async with get_connection_with_rls(alice.user_id, service.resources.database) as connection:
        assert await mark_refused(connection, alice.user_id, UUID(stored["id"]), 1)
    assert await _lines(alices) == {stored["id"]: None}
    assert await faults.calls_of(key, _HISTORY) == 0
    async with alice.client.post(f"/api/credentials/{stored['id']}/validate") as answer:
        assert (await answer.json())["is_valid"]
    assert _DRAWN.fullmatch((await _lines(alices))[stored["id"]]["points"])


async def test_a_line_is_not_asked_of_an_account_that_is_switched_off(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    key = paper_key()
    stored = await alice.store(key)
    async with alice.client.patch(f"/api/credentials/{stored['id']}", json={"is_active": False}):
        pass
    assert await _lines(alices) == {}
    assert _points_in(await read_page(alices, "/?wait")) == []
    assert await faults.calls_of(key, _HISTORY) == 0


async def test_lines_are_kept_by_nobody_on_the_way_and_guessed_to_be_nothing_else(
    alice: Person, alices: ClientSession, visitor: ClientSession
) -> None:
    await alice.store()
    async with alices.get("/lines") as answer:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.content_type == "application/json"
    async with visitor.get("/lines", headers={"Accept": "*/*"}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "unauthenticated")
    async with alice.client.get("/lines") as answer:
        assert answer.status == 403


async def _lines(session: ClientSession) -> dict[str, Any]:
    async with session.get("/lines") as answer:
        assert answer.status == 200
        return orjson.loads(await answer.read())


def _points_in(parsed: Parsed) -> list[str]:
    return [str(line["points"]) for line in parsed.attributes("polyline")]
