"""Option contracts, checked with the SDK and the OpenAPI document."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from aiohttp import ClientSession
from hypothesis import given, settings
from hypothesis import strategies as st

from corral_sandbox import Sandbox, serve_sandbox
from corral_sandbox.api.options import list_contracts
from corral_sandbox.broker.accounts import TradingAccounts
from corral_sandbox.http.requests import Request
from corral_sandbox.market.mean_prices import MEAN_CENTS
from corral_sandbox.market.prices import Market, price
from tests.sandbox.asking import Caller
from tests.sandbox.judges import judge, of_the_sdk, sdk
from tests.sandbox.people import ALICE, nanoseconds

_LIST, _ONE = "/v2/options/contracts", "/v2/options/contracts/{symbol_or_id}"
_NOW = nanoseconds("2026-11-24T14:30:05Z")  # a Tuesday


def _page(query: str, now: int = _NOW) -> Any:  # noqa: ANN401 - JSON
    return list_contracts(Request(TradingAccounts(Market(0)).find(ALICE), now, {}, query))


def _symbols(query: str, now: int = _NOW) -> list[str]:
    return [contract["symbol"] for contract in _page(query, now)["option_contracts"]]


@of_the_sdk
async def test_the_sdk_reads_every_page_of_contracts(sandbox: Sandbox) -> None:
    from alpaca.trading.enums import ContractType
    from alpaca.trading.requests import GetOptionContractsRequest

    symbols: list[str] = []
    token: str | None = None
    with sdk(sandbox.paper_url, ALICE) as client:
        while token is not None or not symbols:
            wanted = GetOptionContractsRequest(
                underlying_symbols=["AAPL", "BRK.B"],
                expiration_date_lte=(datetime.now(UTC) + timedelta(days=400)).date(),
                strike_price_gte="240",
                type=ContractType.CALL,
                limit=7,
                page_token=token,
            )
            answer: Any = await asyncio.to_thread(client.get_option_contracts, wanted)
            symbols += [contract.symbol for contract in answer.option_contracts]
            token = answer.next_page_token
    assert len(set(symbols)) == len(symbols) > 100
    assert symbols == sorted(symbols)
    assert {symbol[:4] for symbol in symbols} == {"AAPL", "BRKB"}


@of_the_sdk
async def test_the_sdk_reads_a_contract_by_symbol_and_by_id(sandbox: Sandbox) -> None:
    with sdk(sandbox.paper_url, ALICE) as client:
        contract: Any = await asyncio.to_thread(client.get_option_contract, "BRKB281215P00500000")
        again: Any = await asyncio.to_thread(client.get_option_contract, contract.id)
        share: Any = await asyncio.to_thread(client.get_asset, "BRK.B")
    assert contract == again
    assert (contract.underlying_symbol, contract.root_symbol, contract.strike_price) == ("BRK.B", "BRKB", 500)
    assert (contract.expiration_date, contract.type.value) == (date(2028, 12, 15), "put")
    assert contract.underlying_asset_id == share.id


async def test_contracts_match_the_openapi_document(caller: Caller, official: dict[str, Any]) -> None:
    for query in ("", "?show_deliverables=true&limit=10", "?status=inactive", "?underlying_symbols=NOTHING"):
        judge(official, _LIST).validate(await caller.get(_LIST + query))
    judge(official, _ONE).validate(await caller.get(f"{_LIST}/AAPL281215C00250000"))
    status, refusal = await caller.ask(f"{_LIST}/AAPL281215C00250001")
    assert status == 404
    judge(official, _ONE, status="404").validate(refusal)


def test_by_default_active_contracts_that_expire_before_the_weekend_are_listed_a_hundred_at_a_time() -> None:
    page = _page("")
    assert len(page["option_contracts"]) == 100
    assert {contract["expiration_date"] for contract in page["option_contracts"]} == {"2026-11-27"}
    assert {contract["status"] for contract in page["option_contracts"]} == {"active"}


@cache
def _whole_list(query: str) -> list[str]:
    return _symbols(f"{query}&limit=10000")


@settings(max_examples=15)
@given(st.integers(90, 900), st.sampled_from(["", "&type=put", "&strike_price_lte=400.5", "&status=inactive"]))
def test_all_pages_together_are_the_whole_list(limit: int, also: str) -> None:
    query = f"underlying_symbols=F,BRK.B{also}" + ("" if "inactive" in also else "&expiration_date_lte=2027-12-31")
    whole, token = _whole_list(query), ""
    pages: list[str] = []
    for _ in range(len(whole) // limit + 1):
        page = _page(f"{query}&limit={limit}&page_token={token}")
        pages += [contract["symbol"] for contract in page["option_contracts"]]
        token = page["next_page_token"]
        if token is None:
            break
    assert token is None
    assert pages == whole == sorted(whole)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("underlying_symbols=F&strike_price_gte=12&strike_price_lte=13", "F261127C00012000 F261127C00013000"),
        ("root_symbol=BRKB&strike_price_gte=500&strike_price_lte=500", "BRKB261127C00500000"),
        (
            "root_symbol=AAPL&expiration_date=2026-12-18&strike_price_gte=250&strike_price_lte=250",
            "AAPL261218C00250000",
        ),
        ("underlying_symbols=AAPL&style=european", ""),
        ("underlying_symbols=AAPL&ppind=false", ""),
        ("underlying_symbols=AAPL&expiration_date=2026-12-17", ""),
    ],
)
def test_contracts_are_filtered_by_their_fields(query: str, expected: str) -> None:
    assert _symbols(f"{query}&type=call") == expected.split()


def test_contracts_expire_at_the_end_of_the_week_for_eight_weeks_and_then_of_each_third_for_a_year() -> None:
    contracts = _page(
        "underlying_symbols=F&type=call&strike_price_gte=12&strike_price_lte=12&expiration_date_gte=2026-01-01"
    )
    expiries = [date.fromisoformat(contract["expiration_date"]) for contract in contracts["option_contracts"]]
    weeks, months = expiries[:8], expiries[8:]
    assert weeks[:5] == [
        date(2026, 11, 27),
        date(2026, 12, 4),
        date(2026, 12, 11),
        date(2026, 12, 18),
        date(2026, 12, 24),
    ]
    assert months[0] == date(2027, 2, 19)
    assert months[-1] == date(2027, 11, 19)
    assert len(months) == 10


def test_a_contract_is_inactive_from_the_close_of_its_last_session() -> None:
    query = "underlying_symbols=F&type=call&strike_price_gte=12&strike_price_lte=12&expiration_date=2026-11-27"
    close = nanoseconds("2026-11-27T13:00:00-05:00")
    assert _symbols(query, close - 1) == ["F261127C00012000"] == _symbols(f"{query}&status=inactive", close)
    assert _symbols(query, close) == [] == _symbols(f"{query}&status=inactive", close - 1)


def test_a_contract_has_its_last_close() -> None:
    contract = _page("underlying_symbols=AAPL&limit=1")["option_contracts"][0]
    close = price(Market(0), contract["symbol"], nanoseconds("2026-11-23T16:00:00-05:00"))
    assert (contract["close_price"], contract["close_price_date"]) == (str(close), "2026-11-23")
    assert Decimal(contract["close_price"]) >= Decimal("0.01")


def test_an_expired_contract_has_the_close_of_its_last_session() -> None:
    query = "status=inactive&underlying_symbols=AAPL&expiration_date=2026-11-13&limit=1"
    contract = _page(query)["option_contracts"][0]
    assert contract["close_price_date"] == "2026-11-13"
    assert contract["close_price"] == str(price(Market(0), contract["symbol"], _NOW))


def test_every_share_that_accounts_open_with_has_options() -> None:
    contracts = _page("limit=10000&expiration_date=2026-12-18")["option_contracts"]
    assert {contract["underlying_symbol"] for contract in contracts} == MEAN_CENTS.keys()


@pytest.mark.parametrize(
    "query",
    [
        *(
            "limit=0",
            "limit=10001",
            "limit=-1",
            "limit=1e3",
            "limit=99999999999999999999",
            "limit=%C2%B2",
            "status=any",
        ),
        *("type=straddle", "style=asian", "expiration_date=soon", "strike_price_gte=NaN", "strike_price_lte=Infinity"),
        *("strike_price_gte=ten", "page_token=!!!!", "page_token=QUFQTA==", "page_token=AAPL", "ppind=1"),
        "show_deliverables=yes",
    ],
)
async def test_invalid_parameters_are_refused_with_the_reason(caller: Caller, query: str) -> None:
    status, refusal = await caller.ask(f"{_LIST}?{query}")
    assert (status, refusal["code"]) == (422, 40010001)
    assert query.partition("=")[0] in refusal["message"]


async def test_a_share_is_not_a_contract(caller: Caller) -> None:
    assert (await caller.ask(f"{_LIST}/AAPL"))[0] == 404


async def test_contracts_are_the_same_for_the_same_seed(http: ClientSession) -> None:
    answers: list[Any] = []
    for seed in (7, 7, 8):
        async with serve_sandbox(port=0, seed=seed, clock=lambda: _NOW) as sandbox:
            answers.append(await Caller(http, sandbox).get(f"{_LIST}?limit=20"))
    assert answers[0] == answers[1] != answers[2]
