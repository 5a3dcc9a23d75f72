"""The home page's order, groups, totals and attention, without a server."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.accounts.schemas import AccountDataResponse, ClockResponse
from corral.alpaca.environments import Environment
from corral.credentials.arrangement import moved
from corral.credentials.models import Credential, HomeView, SealedCredential, StoredAccount
from corral.credentials.problems import AccountNotOpen, CredentialNotFound, CredentialRefused, UpstreamTimeout
from corral.web.view.attention import find_attention, first_sentence
from corral.web.view.home_accounts import AccountEntry, sort_entries
from corral.web.view.home_totals import TotalsScope, add_up, choose_scope, group_entries, scopes_of
from corral.web.view.home_view import Grouping, Layout, SortKey, choose_view
from corral.web.view.market import describe_market
from corral.web.view.switcher import number_keys

_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
_LIVE, _PAPER = Environment.LIVE, Environment.PAPER


def _credential(name: str, environment: Environment = _LIVE, **more: Any) -> Credential:  # noqa: ANN401 - any field
    number = UUID(int=sum(map(ord, name)))
    one = Credential(
        number, name, environment, None, None, True, "", _LONG_AGO, None, None, _LONG_AGO, _LONG_AGO, None, False
    )  # fmt: skip
    return replace(one, **more)


def _entry(
    name: str, equity: str | None = None, before: str | None = "100", *, currency: str = "USD",
    cash_flow: str | None = None, environment: Environment = _LIVE, **more: object,
) -> AccountEntry:  # fmt: skip
    data = equity and AccountDataResponse.model_construct(
        equity=equity, balance=equity, buying_power=equity, currency=currency, account_type=environment, last_updated=""
    )
    credential = _credential(name, environment, **more)
    return AccountEntry(credential=credential, data=data or None, last_equity=before, cash_flow=cash_flow)


def _names(entries: Sequence[AccountEntry]) -> str:
    return "".join(entry.credential.nickname for entry in entries)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("custom", "cbad"),
        ("name", "cabd"),
        ("-name", "cdba"),
        ("-equity", "cbad"),
        ("equity", "cabd"),
        ("-today", "cbad"),
        ("percent", "cabd"),
    ],
)
def test_pinned_accounts_are_first_and_those_without_a_value_last(sort: str, expected: str) -> None:
    entries = [_entry("c", "150", is_pinned=True), _entry("b", "300"), _entry("a", "99"), _entry("d")]
    key = SortKey(sort.removeprefix("-"))
    assert _names(sort_entries(entries, key, descending=sort.startswith("-"))) == expected


def test_amounts_in_different_currencies_are_not_compared() -> None:
    entries = [_entry("a", "10", currency="USD"), _entry("b", "900", currency="JPY"), _entry("c", "20", currency="USD")]
    assert _names(sort_entries(entries, SortKey.EQUITY, descending=True)) == "bca"


def test_groups_are_in_the_order_of_their_names_and_have_subtotals_of_each_environment() -> None:
    entries = [
        _entry("a", "110", group="wheel"),
        _entry("b", "120", group="wheel", environment=_PAPER),
        _entry("c", "130"),
        _entry("d", "140", group="Income"),
    ]
    sections = group_entries(entries, Grouping.GROUP)
    assert [(one.title, _names(one.entries)) for one in sections] == [
        ("Income", "d"),
        ("wheel", "ab"),
        ("No group", "c"),
    ]
    assert [[(one.scope.key, one.by_currency[0].equity) for one in section.totals] for section in sections] == [
        [("live:Income", "140")],
        [("live:wheel", "110"), ("paper:wheel", "120")],
        [],
    ]
    assert [one.title for one in group_entries(entries, Grouping.ENVIRONMENT)] == ["Live", "Paper"]
    assert len(group_entries(entries, Grouping.NONE)) == 1


def test_the_first_scope_is_live_and_a_group_of_both_environments_is_two() -> None:
    entries = [
        _entry("a", environment=_PAPER, group="G"),
        _entry("b", group="G"),
        _entry("c", group="H"),
        _entry("d", group="paused", is_active=False),
    ]
    scopes = scopes_of(entries)
    assert [(one.key, one.label) for one in scopes] == [
        ("live", "Live"),
        ("paper", "Paper"),
        ("live:G", "G (live)"),
        ("paper:G", "G (paper)"),
        ("live:H", "H"),
    ]
    for wanted, found in [("paper:G", "paper:G"), ("live:gone", "live"), (None, "live")]:
        chosen = choose_scope(scopes, wanted)
        assert chosen is not None
        assert chosen.key == found
    assert choose_scope([], None) is None


def test_a_total_names_what_it_lacks_and_what_was_deposited() -> None:
    entries = [
        _entry("a", "5150.5", "100", cash_flow="5000"),
        _entry("b", "90", "100", cash_flow="-20.25"),
        _entry("new", "70", "0"),
        _entry("unknown", "30", None),
        _entry("pending"),
        _entry("paused", "1000", is_active=False),
        _entry("paper", "1000", environment=_PAPER),
    ]
    total = add_up(TotalsScope(_LIVE, None, "Live"), entries)
    assert (total.accounts, total.missing, total.unclosed) == (4, 1, 2)
    (sums,) = total.by_currency
    assert (sums.equity, sums.today, sums.deposited, sums.withdrawn) == ("5340.5", "5040.5", "5000", "20.25")
    assert sums.percent is not None
    assert Decimal(sums.percent) == Decimal("25.2025")


_AMOUNTS = st.decimals(-(10**9), 10**9, places=4).map(str)


@settings(max_examples=30)
@given(st.lists(st.tuples(_AMOUNTS, _AMOUNTS | st.none(), st.sampled_from(["USD", "EUR"])), max_size=6))
def test_totals_are_exact_and_no_currency_is_converted(found: list[tuple[str, str | None, str]]) -> None:
    entries = [
        _entry(str(number), equity, before, currency=currency)
        for number, (equity, before, currency) in enumerate(found)
    ]
    total = add_up(TotalsScope(_LIVE, None, "Live"), entries)
    assert [one.currency for one in total.by_currency] == sorted({currency for *_, currency in found})
    for sums in total.by_currency:
        included = [(Decimal(equity), before) for equity, before, currency in found if currency == sums.currency]
        assert Decimal(sums.equity) == sum(equity for equity, _ in included)
        todays = [equity - Decimal(before) for equity, before in included if before and Decimal(before)]
        assert (sums.today and Decimal(sums.today)) == (sum(todays) if todays else None)


def test_only_what_its_owner_has_to_do_needs_attention() -> None:
    refused, closed, out = [
        AccountEntry(credential=_credential(name), problem=problem)
        for name, problem in [
            ("r", CredentialRefused()),
            ("c", AccountNotOpen.with_status("ONBOARDING")),
            ("o", UpstreamTimeout()),
        ]
    ]
    blocked = replace(
        _entry("b", "1"), blocks=["Alpaca has blocked trading: orders will be rejected. Contact us.", "More. Text."]
    )
    paused = replace(_entry("p", is_active=False), blocks=["Blocked."])
    found = find_attention([refused, closed, out, blocked, paused, _entry("well", "1")])
    assert [(one.credential.nickname, one.text, one.path.partition("/")[2].split("/")[0]) for one in found] == [
        ("r", "Alpaca no longer accepts this API key", "keys"),
        ("c", "This account isn't open (ONBOARDING)", "accounts"),
        ("b", "Alpaca has blocked trading: orders will be rejected. More", "accounts"),
    ]
    assert first_sentence("One only.") == "One only"


def test_many_accounts_are_a_table_unless_cards_were_chosen() -> None:
    assert choose_view(HomeView(), {}, 8).layout is Layout.CARDS
    assert choose_view(HomeView(), {}, 9).layout is Layout.TABLE
    assert choose_view(HomeView(layout="cards"), {}, 30).layout is Layout.CARDS
    assert choose_view(HomeView(layout="cards"), {"layout": "table"}, 3).layout is Layout.TABLE
    odd = choose_view(HomeView("maps", "luck", True, "stars", "x", True), {"layout": "?", "span": "2 years"}, 3)
    assert (odd.layout, odd.sort, odd.grouping, odd.period.value) == (Layout.CARDS, SortKey.CUSTOM, Grouping.NONE, "1D")


def test_a_heading_sorts_by_the_largest_first_and_then_the_other_way() -> None:
    view = choose_view(HomeView(sort_by="equity", is_descending=True), {}, 3)
    assert (view.next_sort("equity"), view.next_sort("name"), view.next_sort("cash")) == ("equity", "name", "-cash")
    assert (view.aria_sort("equity"), view.aria_sort("name")) == ("descending", None)
    assert choose_view(HomeView(sort_by="equity"), {}, 3).next_sort("equity") == "-equity"
    assert choose_view(HomeView(sort_by="name"), {}, 3).next_sort("name") == "-name"


def _stored(name: str, **more: Any) -> StoredAccount:  # noqa: ANN401 - any field
    one = _credential(name, **more)
    sealed = SealedCredential(one.id, UUID(int=1), one.credential_type, "", True, 1, b"", b"", None, None)
    return StoredAccount(one, sealed)


def test_an_account_moves_by_one_place_and_never_past_pinned_ones() -> None:
    accounts = [_stored("p", is_pinned=True), _stored("a"), _stored("b"), _stored("c")]

    def order(name: str, direction: str) -> str:
        ids = moved(accounts, _credential(name).id, "up" if direction == "up" else "down")
        return "".join(
            next(one.credential.nickname for one in accounts if one.credential.id == wanted) for wanted in ids
        )

    assert [order("b", "up"), order("b", "down"), order("a", "up"), order("c", "down"), order("p", "down")] == [
        "pbac", "pacb", "pabc", "pabc", "pabc",
    ]  # fmt: skip
    with pytest.raises(CredentialNotFound):
        moved(accounts, UUID(int=0), "up")


def test_the_first_nine_accounts_have_number_keys() -> None:
    credentials = [_credential(name) for name in "abcdefghijkl"]
    assert list(number_keys(credentials).values()) == list(range(1, 10))
    assert number_keys(credentials)[credentials[2].id] == 3


@pytest.mark.parametrize(
    ("now", "opens", "closes", "text"),
    [
        ("11-24T15:00", "11-25T14:30", "11-24T21:00", "Market open · closes 16:00 ET"),
        ("11-27T15:00", "11-30T14:30", "11-27T18:00", "Market open · closes 13:00 ET"),
        ("11-24T13:00", "11-24T14:30", "11-24T21:00", "Closed · opens 09:30 ET"),
        ("11-28T15:00", "11-30T14:30", "11-30T21:00", "Closed · opens Mon 09:30 ET"),
        ("07-02T22:00", "07-06T13:30", "07-06T20:00", "Closed · opens Mon 09:30 ET"),
    ],
)
def test_the_market_is_open_or_opens_next(now: str, opens: str, closes: str, text: str) -> None:
    at, next_open, next_close = (f"2026-{moment}:00Z" for moment in (now, opens, closes))
    clock = ClockResponse(timestamp=at, is_open=closes < opens, next_open=next_open, next_close=next_close)
    state = describe_market(clock)
    assert (state.text, state.is_open) == (text, closes < opens)
    assert state.changes_in > 0
