"""Account configurations."""

import asyncio
from typing import Any

import pytest

from corral_sandbox import Sandbox
from tests.sandbox.asking import Caller
from tests.sandbox.judges import judge, of_the_sdk, sdk
from tests.sandbox.people import ALICE, BOB

_PATH = "/v2/account/configurations"
_ALWAYS = {
    *("disable_overnight_trading", "fractional_trading", "max_margin_multiplier", "no_shorting"),
    *("ptp_no_exception_entry", "suspend_trade", "trade_confirm_email"),
}


@of_the_sdk
async def test_the_sdk_changes_one_setting_by_sending_all_back(sandbox: Sandbox) -> None:
    with sdk(sandbox.paper_url, BOB) as client:
        before: Any = await asyncio.to_thread(client.get_account_configurations)
        before.no_shorting = True
        answered = await asyncio.to_thread(client.set_account_configurations, before)
        after = await asyncio.to_thread(client.get_account_configurations)
    assert before == answered == after


async def test_configurations_match_the_openapi_document(caller: Caller, official: dict[str, Any]) -> None:
    judge(official, _PATH).validate(await caller.get(_PATH))
    status, changed = await caller.ask(_PATH, method="PATCH", body={"max_options_trading_level": 2})
    assert status == 200
    judge(official, _PATH, "patch").validate(changed)
    assert changed["max_options_trading_level"] == 2


async def test_seven_fields_are_always_sent_and_a_level_only_once_it_is_set(caller: Caller) -> None:
    assert (await caller.get(_PATH)).keys() == _ALWAYS


async def test_nulls_and_unknown_fields_change_nothing(caller: Caller) -> None:
    before = await caller.get(_PATH)
    body = {"dtbp_check": None, "pdt_check": "entry", "no_shorting": None, "unknown": {"a": 1}}
    assert await caller.ask(_PATH, method="PATCH", body=body) == (200, before)


async def test_configurations_of_alice_do_not_change_those_of_bob(caller: Caller) -> None:
    bobs = await caller.get(_PATH, BOB)
    await caller.ask(_PATH, method="PATCH", key_id=ALICE, body={"trade_confirm_email": "none", "no_shorting": True})
    alices = await caller.get(_PATH, ALICE)
    assert (alices["trade_confirm_email"], alices["no_shorting"]) == ("none", True)
    assert await caller.get(_PATH, BOB) == bobs


async def test_an_account_follows_its_configurations(caller: Caller) -> None:
    key_id = await _find(caller, multiplier="4", trade_suspended_by_user=False, options_trading_level=3)
    before = await caller.get("/v2/account", key_id)
    body = {"max_margin_multiplier": "2", "suspend_trade": True, "no_shorting": True, "max_options_trading_level": 0}
    await caller.ask(_PATH, method="PATCH", key_id=key_id, body=body)
    narrowed = await caller.get("/v2/account", key_id)
    assert (narrowed["multiplier"], narrowed["trade_suspended_by_user"]) == ("2", True)
    assert (narrowed["shorting_enabled"], narrowed["options_trading_level"]) == (False, 0)
    assert narrowed["cash"] == before["cash"]
    body = {"max_margin_multiplier": "4", "suspend_trade": False, "no_shorting": False, "max_options_trading_level": 3}
    await caller.ask(_PATH, method="PATCH", key_id=key_id, body=body)
    after = await caller.get("/v2/account", key_id)
    for name in ("multiplier", "trade_suspended_by_user", "options_trading_level", "shorting_enabled"):
        assert after[name] == before[name]


async def test_an_account_that_opens_suspended_says_so_in_its_configurations(caller: Caller) -> None:
    suspended = await _find(caller, trade_suspended_by_user=True)
    assert (await caller.get(_PATH, suspended))["suspend_trade"] is True
    await caller.ask(_PATH, method="PATCH", key_id=suspended, body={"no_shorting": False})
    assert (await caller.get("/v2/account", suspended))["trade_suspended_by_user"] is True


async def test_a_cash_account_cannot_configure_margin(caller: Caller) -> None:
    key_id = await _find(caller, multiplier="1")
    await caller.ask(_PATH, method="PATCH", key_id=key_id, body={"max_margin_multiplier": "4"})
    account = await caller.get("/v2/account", key_id)
    assert (account["multiplier"], account["shorting_enabled"]) == ("1", False)


@pytest.mark.parametrize(
    "body",
    [
        {"suspend_trade": "yes"},
        {"suspend_trade": 1},
        {"max_margin_multiplier": "3"},
        {"max_margin_multiplier": ["4"]},
        {"max_options_trading_level": 4},
        {"max_options_trading_level": 1.5},
        {"max_options_trading_level": True},
        {"trade_confirm_email": "some"},
        {"trade_confirm_email": {}},
    ],
)
async def test_an_invalid_setting_is_refused_and_changes_nothing(caller: Caller, body: dict[str, Any]) -> None:
    before = await caller.get(_PATH)
    status, refusal = await caller.ask(_PATH, method="PATCH", body={"no_shorting": True, **body})
    assert (status, refusal["code"]) == (422, 40010001)
    assert next(iter(body)) in refusal["message"]
    assert await caller.get(_PATH) == before


async def _find(caller: Caller, **fields: object) -> str:
    """Returns the key id of an account with these configurations."""
    for number in range(200):
        key_id = f"PKCROWD{number:05}"
        if fields.items() <= (await caller.get("/v2/account", key_id)).items():
            return key_id
    raise AssertionError(fields)
