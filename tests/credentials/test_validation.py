"""`POST /api/credentials/{id}/validate`: what Alpaca says to the keys, what the account may do, and what is wrong."""

import json
from typing import Any

import pytest
from aiohttp import ClientSession

from corral.alpaca.models import Account
from corral.alpaca.rate_budget import BudgetLeft
from corral.credentials.validation import account_findings, connection_findings
from corral_sandbox import Sandbox, secret_of
from tests.conftest import Faults, StartService
from tests.people import Person, key_pair, live_key, paper_key

Json = dict[str, Any]
UNAUTHORIZED = {"status": 401, "body": {"message": "unauthorized."}}


async def validate(person: Person, credential: Json) -> Json:
    async with person.client.post(f"/api/credentials/{credential['id']}/validate") as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


@pytest.mark.parametrize(("key_id", "other"), [(paper_key(), "live"), (live_key(), "paper")], ids=["paper", "live"])
async def test_accepted_keys_are_reported_with_the_account(
    alice: Person, sandbox: Sandbox, key_id: str, other: str
) -> None:
    credential = await alice.store(key_id)
    reported = await validate(alice, credential)
    own = credential["credential_type"]
    assert list(reported) == [
        "is_valid", "account_type", "message", "checked_at",
        "environments", "latency_ms", "budget", "account", "findings",
    ]  # fmt: skip
    assert reported["is_valid"] is True
    assert reported["environments"] == {own: "accepted", other: "not_asked"}
    assert reported["latency_ms"] >= 0
    assert reported["budget"]["limit"] == 200
    # The sandbox has counted the call that stored them, too, unless its minute is over.
    assert reported["budget"]["remaining"] in {198, 199}
    assert 1 <= reported["budget"]["resets_in_seconds"] <= 60
    assert reported["account"] == await _as_alpaca_says(sandbox, own, key_id)


async def _as_alpaca_says(sandbox: Sandbox, environment: str, key_id: str) -> Json:
    names = [
        "account_number", "status", "multiplier", "shorting_enabled", "options_approved_level",
        "options_trading_level", "account_blocked", "trading_blocked", "transfers_blocked", "trade_suspended_by_user",
    ]  # fmt: skip
    headers = {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret_of(key_id)}
    url = f"{sandbox.url}/{environment}/v2/account"
    async with ClientSession() as client, client.get(url, headers=headers) as answer:
        account = await answer.json()
    return {name: account[name] for name in names}


@pytest.mark.parametrize("key_id", [paper_key(), live_key()], ids=["paper", "live"])
async def test_rejected_keys_are_reported_and_never_sent_to_the_other_environment(
    alice: Person, faults: Faults, key_id: str
) -> None:
    credential = await alice.store(key_id)
    calls = await faults.calls_of(key_id)
    await faults.set(key_id, **UNAUTHORIZED)
    reported = await validate(alice, credential)
    assert reported["is_valid"] is False
    assert reported["environments"] == {"paper": "not_asked", "live": "not_asked"} | {
        credential["credential_type"]: "refused"
    }
    assert reported["account"] is None
    assert reported["findings"] == [reported["message"]]
    assert reported["budget"]["limit"] == 200
    assert await faults.calls_of(key_id) == calls + 1


async def test_one_rejection_in_a_manual_check_does_not_mark_the_keys(alice: Person, faults: Faults) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    await faults.set(key_id, **UNAUTHORIZED)
    await validate(alice, credential)
    async with alice.client.get(f"/api/credentials/{credential['id']}") as answer:
        assert (await answer.json())["refused_at"] is None


async def test_bob_cannot_check_what_is_alices(alice: Person, bob: Person, faults: Faults) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    async with bob.client.post(f"/api/credentials/{credential['id']}/validate") as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (404, "credential_not_found")
    assert await faults.calls_of(key_id) == 1


async def test_restrictions_are_reported_and_missing_values_are_null(alice: Person, faults: Faults) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    await faults.set(
        key_id,
        account_raw={
            "status": '"ACTION_REQUIRED"', "trading_blocked": "true", "multiplier": '"1"', "shorting_enabled": "null",
            "options_trading_level": '"none"', "transfers_blocked": "false", "trade_suspended_by_user": "false",
            "account_blocked": "false",
        },
        account_without=["options_approved_level"],
    )  # fmt: skip
    reported = await validate(alice, credential)
    assert reported["account"]["status"] == "ACTION_REQUIRED"
    assert reported["account"]["shorting_enabled"] is None
    assert reported["account"]["options_trading_level"] is None
    assert reported["account"]["options_approved_level"] is None
    first, second = reported["findings"]
    assert "ACTION_REQUIRED" in first
    assert "blocked trading" in second
    # What only a check reports does not keep the balance from being read.
    async with alice.client.get(f"/api/credentials/{credential['id']}/account-data") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("field", ["id", "account_number", "status"])
async def test_an_account_that_repeats_its_keys_is_not_shown(alice: Person, faults: Faults, field: str) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    for echoed in (key_id, secret_of(key_id)):
        await faults.set(key_id, account_raw={field: json.dumps(echoed)})
        async with alice.client.post(f"/api/credentials/{credential['id']}/validate") as answer:
            text = await answer.text()
            assert (answer.status, json.loads(text)["code"]) == (502, "upstream_failed")
            assert key_id not in text


async def test_a_slow_response_is_reported_in_seconds(
    alice: Person, start_service: StartService, faults: Faults
) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    await faults.set(key_id, latency_ms=2_100)
    async with (
        start_service(upstream_timeout_seconds=30) as patient,
        ClientSession(patient.url, headers={"Authorization": f"Bearer {alice.token}"}) as client,
        client.post(f"/api/credentials/{credential['id']}/validate") as answer,
    ):
        reported = await answer.json()
    assert reported["latency_ms"] >= 2_100
    assert any("to respond" in finding for finding in reported["findings"])


async def test_replaced_keys_are_checked_as_before(alice: Person) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    async with alice.client.patch(f"/api/credentials/{credential['id']}", json=key_pair(key_id)) as answer:
        assert answer.status == 200
    assert (await validate(alice, credential))["is_valid"] is True


def account(**changes: Any) -> Account:  # noqa: ANN401 - fields of any type
    good: dict[str, Any] = {
        "id": "1", "account_number": "1", "status": "ACTIVE", "currency": "USD", "cash": "1", "equity": "1",
        "buying_power": "1", "last_equity": None, "multiplier": "4", "trading_blocked": False,
        "account_blocked": False, "pattern_day_trader": False, "daytrade_count": 0, "transfers_blocked": False,
        "trade_suspended_by_user": False, "shorting_enabled": True, "options_approved_level": 3,
        "options_trading_level": 3,
    }  # fmt: skip
    return Account(**good | changes)


@pytest.mark.parametrize(
    "changes",
    [
        Json(),
        {"multiplier": "1", "shorting_enabled": False},  # as cash accounts are
        {"multiplier": None, "shorting_enabled": False},
        {"options_approved_level": 0, "options_trading_level": 0},
        {"options_approved_level": None},
        {"options_trading_level": None},
        {"status": None, "transfers_blocked": None, "trade_suspended_by_user": None, "shorting_enabled": None},
    ],
)
def test_an_account_without_restrictions_has_no_findings(changes: Json) -> None:
    assert account_findings(account(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        ({"status": "ACCOUNT_CLOSED"}, "Account status: ACCOUNT_CLOSED."),
        ({"account_blocked": True}, "blocked this account"),
        ({"trading_blocked": True}, "blocked trading"),
        ({"transfers_blocked": True}, "blocked transfers"),
        ({"trade_suspended_by_user": True}, "suspended in the account's settings"),
        ({"shorting_enabled": False}, "Short selling is disabled"),
        ({"options_trading_level": 1}, "limited to level 1, although Alpaca has approved level 3"),
    ],
)
def test_each_restriction_is_one_sentence_with_what_to_do(changes: Json, reported: str) -> None:
    (finding,) = account_findings(account(**changes))
    assert reported in finding
    assert finding.endswith(".")
    assert "Alpaca" in finding


@pytest.mark.parametrize(
    ("latency_ms", "budget", "reported"),
    [
        (1_999, None, []),
        (2_000, None, ["took 2.0 s"]),
        (5, BudgetLeft(200, 21, 30), []),
        (5, BudgetLeft(200, 20, 30), ["20 of 200 requests are left for the next 30 s"]),
        (9_000, BudgetLeft(1000, 0, 1), ["took 9.0 s", "0 of 1000 requests are left"]),
    ],
)
def test_a_slow_connection_and_a_low_budget_are_reported(
    latency_ms: int, budget: BudgetLeft | None, reported: list[str]
) -> None:
    findings = " ".join(connection_findings(latency_ms, budget))
    assert bool(findings) == bool(reported)
    assert all(part in findings for part in reported)
