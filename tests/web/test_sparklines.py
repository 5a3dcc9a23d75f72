"""The sparklines on the cards: exact, cached, private, and never holding up the page."""

import asyncio
import re
from decimal import Decimal
from itertools import accumulate
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
from corral.web.view.sparklines import HEIGHT, WIDTH, draw_sparkline
from tests.access import sign_in_by_link
from tests.conftest import MORNING, Faults, Service, StartService
from tests.people import Person, live_key, make_person, paper_key
from tests.web.conftest import BROWSER
from tests.web.parsed_html import Parsed, read_page

_HISTORY = "/v2/account/portfolio/history"
_DRAWN = re.compile(r"M[0-9]+ [0-9]+l[0-9]+(?: |-)[0-9]+( [0-9]+(?: |-)[0-9]+)*")
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


def test_a_sparkline_runs_left_to_right_and_rises_with_equity() -> None:
    sparkline = draw_sparkline(_history("100", "150", "200", base="100"))
    assert sparkline is not None
    assert sparkline.path == "M0 98l5-48 5-48"  # 4:00, 4:15 and 4:30 of a day that ends at 20:00
    assert sparkline.close == 98


def test_the_last_point_of_a_day_is_near_the_right_edge() -> None:
    sparkline = draw_sparkline(_history(*[str(n) for n in range(1, 61)]))
    assert sparkline is not None
    assert _points_of(sparkline.path)[-1] == (295, 2)


def test_constant_equity_is_a_line_in_the_middle() -> None:
    sparkline = draw_sparkline(_history("100", "100.00", base="100.0"))
    assert sparkline is not None
    assert sparkline.path == "M0 50l5 0"


@pytest.mark.parametrize("equities", [(), ("100",), (None, None), ("0", "0"), ("0", None, "5")])
def test_fewer_than_two_points_are_no_sparkline(equities: tuple[str | None, ...]) -> None:
    assert draw_sparkline(_history(*equities)) is None


def test_gaps_are_bridged_and_points_before_funding_left_out() -> None:
    sparkline = draw_sparkline(_history("0", "100", None, "200"))
    assert sparkline is not None
    assert sparkline.path == "M5 98l10-96"


def test_many_points_are_thinned_out_keeping_the_last() -> None:
    sparkline = draw_sparkline(_history(*[str(n) for n in range(1, 241)], at="2026-11-24T15:00:00Z"))
    assert sparkline is not None
    assert len(_points_of(sparkline.path)) == 80
    assert _points_of(sparkline.path)[-1][1] == 2


@given(st.lists(_AMOUNTS, min_size=2, max_size=200), st.one_of(st.none(), _AMOUNTS))
def test_every_sparkline_fits_its_view_box_and_is_small(amounts: list[Decimal], base: Decimal | None) -> None:
    """For any amounts: it is within the view box, runs to the right, and has at most 80 points."""
    history = _history(
        *[f"{amount:f}" for amount in amounts],
        base=None if base is None else f"{base:f}",
        at="2026-11-24T{0:02}:{1:02}:00Z" if len(amounts) < 50 else "2026-11-24T10:00:00Z",
    )
    sparkline = draw_sparkline(history)
    if sparkline is None:
        assert not any(amounts[:-1])
        return
    assert _DRAWN.fullmatch(sparkline.path)
    points = _points_of(sparkline.path)
    assert len(points) <= 80
    assert len(sparkline.path) < 600
    assert all(0 <= across <= WIDTH and 0 <= height <= HEIGHT for across, height in points)
    assert points == sorted(points, key=lambda point: point[0])
    assert sparkline.close is None or 0 <= sparkline.close <= HEIGHT


async def test_a_card_has_a_sparkline_without_javascript(alice: Person, alices: ClientSession, faults: Faults) -> None:
    key = paper_key()
    await alice.store(key)
    await faults.set(key, **MORNING)
    while _lines_in(parsed := await read_page(alices, "/?wait")) == [""]:
        pass  # a busy machine may need several attempts
    (line,) = _lines_in(parsed)
    assert _DRAWN.fullmatch(line)
    (drawing,) = [svg for svg in parsed.attributes("svg") if "aria-label" in svg]
    assert "last trading day, including extended hours" in str(drawing["aria-label"])


async def test_several_page_loads_make_one_call_to_alpaca(alice: Person, alices: ClientSession, faults: Faults) -> None:
    key = paper_key()
    await alice.store(key)
    for path in ["/?wait", "/", "/", "/?wait"]:
        await read_page(alices, path)
        await _sparklines(alices)
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
async def test_a_failed_or_empty_history_shows_no_problem_and_is_cached(
    fault: dict[str, object], alice: Person, alices: ClientSession, faults: Faults
) -> None:
    key = paper_key()
    stored = await alice.store(key)
    await faults.set(key, path=_HISTORY, **fault)
    parsed = await read_page(alices, "/?wait")
    assert _lines_in(parsed) == [""]
    assert not [tag for _, tag in parsed.tags if str(tag.get("class")).startswith("notice problem")]
    calls = await faults.calls_of(key, _HISTORY)
    assert await _sparklines(alices) == {stored["id"]: None}
    await read_page(alices, "/?wait")
    assert await faults.calls_of(key, _HISTORY) == calls > 0


async def test_a_slow_history_does_not_delay_the_page_and_loads_later(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    slow, well = paper_key(), paper_key()
    stored = await alice.store(slow)
    await alice.store(well, nickname="well")
    await faults.set_all([{"key_id": key, **MORNING} for key in (slow, well)])
    await read_page(alices, "/?wait")
    delayed = {"key_id": slow, "latency_ms": 800, **MORNING}
    await faults.set_all([delayed, {"key_id": well, **MORNING}])
    async with alice.client.patch(f"/api/credentials/{stored['id']}", json={"is_active": False}):
        pass
    async with alice.client.patch(f"/api/credentials/{stored['id']}", json={"is_active": True}):
        pass  # the cache is not used for the new revision
    parsed = await read_page(alices, "/")
    assert sum(line == "" for line in _lines_in(parsed)) == 1
    assert "still loading" not in parsed.text()
    while stored["id"] not in (found := await _sparklines(alices)):
        pass
    assert _DRAWN.fullmatch(found[stored["id"]]["path"])


async def test_waiting_for_figures_does_not_wait_for_sparklines(start_service: StartService, faults: Faults) -> None:
    async with start_service(upstream_timeout_seconds=50) as service, make_person(service, "alice") as alice:
        key = paper_key()
        await alice.store(key)
        await faults.set(key, path=_HISTORY, latency_ms=40_000)
        cookie = await sign_in_by_link(service, alice.user_id)
        async with ClientSession(service.url, headers={**BROWSER, "Cookie": cookie}) as session, asyncio.timeout(30):
            parsed = await read_page(session, "/?wait")
    assert _lines_in(parsed) == [""]
    assert "As of" in parsed.text()


async def test_users_get_only_their_own_sparklines(
    alice: Person, bob: Person, alices: ClientSession, bobs: ClientSession
) -> None:
    alices_one, bobs_one = await alice.store(), await bob.store(live_key())
    assert set(await _sparklines(alices)) == {alices_one["id"]}
    assert set(await _sparklines(bobs)) == {bobs_one["id"]}


async def test_rejected_keys_have_no_sparkline_until_they_work_again(
    service: Service, alice: Person, alices: ClientSession, faults: Faults
) -> None:
    key = paper_key()
    stored = await alice.store(key)
    await faults.set(key, **MORNING)
    async with get_connection_with_rls(alice.user_id, service.resources.database) as connection:
        assert await mark_refused(connection, alice.user_id, UUID(stored["id"]), 1)
    assert await _sparklines(alices) == {stored["id"]: None}
    assert await faults.calls_of(key, _HISTORY) == 0
    async with alice.client.post(f"/api/credentials/{stored['id']}/validate") as answer:
        assert (await answer.json())["is_valid"]
    assert _DRAWN.fullmatch((await _sparklines(alices))[stored["id"]]["path"])


async def test_a_paused_account_requests_no_sparkline(alice: Person, alices: ClientSession, faults: Faults) -> None:
    key = paper_key()
    stored = await alice.store(key)
    async with alice.client.patch(f"/api/credentials/{stored['id']}", json={"is_active": False}):
        pass
    assert await _sparklines(alices) == {}
    assert _lines_in(await read_page(alices, "/?wait")) == []
    assert await faults.calls_of(key, _HISTORY) == 0


async def test_sparklines_are_json_that_is_not_cached_and_needs_a_session(
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


async def _sparklines(session: ClientSession) -> dict[str, Any]:
    async with session.get("/lines") as answer:
        assert answer.status == 200
        return orjson.loads(await answer.read())


def _points_of(path: str) -> list[tuple[int, int]]:
    """The points of a path whose coordinates are relative to the point before."""
    numbers = [int(number) for number in re.findall(r"-?[0-9]+", path)]
    return list(zip(accumulate(numbers[::2]), accumulate(numbers[1::2]), strict=True))


def _lines_in(parsed: Parsed) -> list[str]:
    """Returns the path of each sparkline, which follows that of the previous close."""
    icon, *paths = [str(path["d"]) for path in parsed.attributes("path")]
    assert icon.startswith("M2.5")  # of the switch that hides amounts
    return paths[1::2]
