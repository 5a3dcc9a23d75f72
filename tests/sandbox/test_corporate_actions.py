"""Corporate actions, checked with the SDK and the OpenAPI document."""

import asyncio
from copy import deepcopy
from datetime import date
from typing import Any

import pytest
from aiohttp import ClientSession

from corral_sandbox import Sandbox, serve_sandbox
from tests.sandbox.asking import Caller
from tests.sandbox.judges import judge, of_the_sdk, sdk
from tests.sandbox.people import ALICE

_LIST, _ONE = "/v2/corporate_actions/announcements", "/v2/corporate_actions/announcements/{id}"
_ALL = "ca_types=dividend,merger,spinoff,split"
_QUARTER = f"{_LIST}?{_ALL}&since=2026-01-01&until=2026-03-31"


@of_the_sdk
@pytest.mark.filterwarnings("ignore:get_corporate_announcements is deprecated:DeprecationWarning")
async def test_the_sdk_reads_all_corporate_actions_and_a_single_one(sandbox: Sandbox) -> None:
    from alpaca.trading.enums import CorporateActionDateType, CorporateActionType
    from alpaca.trading.requests import GetCorporateAnnouncementsRequest

    wanted = GetCorporateAnnouncementsRequest(
        ca_types=list(CorporateActionType),
        since=date(2026, 1, 1),
        until=date(2026, 3, 31),
        symbol="KO",
        date_type=CorporateActionDateType.DECLARATION_DATE,
    )
    with sdk(sandbox.paper_url, ALICE) as client:
        announced: Any = await asyncio.to_thread(client.get_corporate_announcements, wanted)
        again: Any = await asyncio.to_thread(client.get_corporate_announcement_by_id, announced[0].id)
    assert again == announced[0]
    assert {each.initiating_symbol for each in announced} == {"KO"}
    assert all(each.cash > 0 for each in announced if each.ca_type is CorporateActionType.DIVIDEND)


async def test_corporate_actions_match_the_openapi_document(caller: Caller, official: dict[str, Any]) -> None:
    """But for `ca_type`: the document writes it with a capital letter, the SDK knows small letters alone."""
    official = deepcopy(official)
    types = official["components"]["schemas"]["CorporateActionCaType"]["enum"]
    types[:] = [name.lower() for name in types]
    announced = await caller.get(_QUARTER)
    judge(official, _LIST).validate(announced)
    judge(official, _ONE).validate(await caller.get(f"{_LIST}/{announced[0]['id']}"))


async def test_corporate_actions_are_found_by_type_in_either_case_and_by_each_of_their_dates(caller: Caller) -> None:
    dividends = await caller.get(_QUARTER.replace(_ALL, "ca_types=Dividend"))
    assert {each["ca_type"] for each in dividends} == {"dividend"}
    one = dividends[0]
    for name in ("declaration_date", "ex_date", "record_date", "payable_date"):
        found = await caller.get(
            f"{_LIST}?{_ALL}&since={one[name]}&until={one[name]}&date_type={name}&symbol={one['initiating_symbol']}"
        )
        assert one in found
    assert one["declaration_date"] < one["ex_date"] <= one["record_date"] < one["payable_date"]


async def test_no_asset_has_a_cusip(caller: Caller) -> None:
    assert await caller.get(f"{_QUARTER}&cusip=037833100") == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("since=2026-01-01&until=2026-01-02", "ca_types is required"),
        (f"{_ALL}&until=2026-01-02", "since is required"),
        (f"{_ALL}&since=2026-01-01", "until is required"),
        (f"{_ALL}&since=2026-01-01&until=2026-04-02", "the date range is limited to 90 days"),
        (f"{_ALL}&since=soon&until=2026-04-02", "invalid since: soon is not a date"),
    ],
)
async def test_an_invalid_search_is_refused(caller: Caller, query: str, message: str) -> None:
    assert await caller.ask(f"{_LIST}?{query}") == (422, {"code": 40010001, "message": message})


async def test_an_unknown_corporate_action_is_not_found(caller: Caller) -> None:
    assert (await caller.ask(f"{_LIST}/00000000-0000-0000-0000-000000000000"))[0] == 404


async def test_corporate_actions_are_the_same_for_the_same_seed(http: ClientSession) -> None:
    answers: list[Any] = []
    for seed in (7, 7, 8):
        async with serve_sandbox(port=0, seed=seed) as sandbox:
            answers.append(await Caller(http, sandbox).get(_QUARTER))
    assert answers[0] == answers[1] != answers[2]
