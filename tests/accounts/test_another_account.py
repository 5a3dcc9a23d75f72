"""If keys open an account other than the stored one, nothing of it is shown anywhere."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.access import sign_in_by_link
from tests.accounts.alpaca_lists import ANSWERS
from tests.accounts.conftest import Account
from tests.conftest import Faults, Service
from tests.log_lines import LogSince
from tests.people import Person, make_person, paper_key
from tests.stream.sse_client import listening_to
from tests.web.conftest import BROWSER

Json = dict[str, Any]

_ANOTHER = {"id": '"0f6b3f0e-0000-4000-8000-00000000abcd"', "cash": '"77771.5"', "equity": '"77772.5"'}
_THEIRS = ("77,771", "77771", "77,772", "77772")
_READS = {
    "positions": "/v2/positions",
    "orders": "/v2/orders",
    "activities": "/v2/account/activities",
    "portfolio-history": "/v2/account/portfolio/history",
}


@pytest.fixture
async def changed(account: Account) -> Account:
    await account.misbehave(path="/v2/account", account_raw=_ANOTHER)
    return account


async def test_account_data_shows_nothing_of_another_account(changed: Account, log: LogSince) -> None:
    problem = await changed.get("account-data", refused=409)
    assert problem["code"] == "wrong_account"
    assert not [figure for figure in _THEIRS if figure in str(problem)]
    assert (await log.awaited("account_changed"))["credential_id"] == changed.credential_id


@pytest.mark.parametrize("read", _READS)
async def test_lists_show_nothing_of_another_account(changed: Account, read: str) -> None:
    assert (await changed.get(read, refused=409))["code"] == "wrong_account"


@pytest.mark.parametrize("read", ["positions", "orders", "activities"])
async def test_exports_of_another_account_do_not_start(changed: Account, read: str) -> None:
    assert (await changed.get(f"{read}.csv", refused=409))["code"] == "wrong_account"


async def test_the_clock_is_the_same_for_all_accounts(changed: Account) -> None:
    assert "is_open" in await changed.get("clock")


async def test_the_overview_shows_the_problem_instead_of_another_account(changed: Account) -> None:
    async with changed.person.client.get("/api/overview") as answer:
        reported = await answer.json()
    (item,) = reported["items"]
    assert (item["account_data"], item["problem"]["code"]) == (None, "wrong_account")
    assert [(total["accounts"], total["missing"]) for total in reported["totals"]] == [(0, 1)]


async def test_the_check_of_the_keys_reports_another_account(changed: Account) -> None:
    before = await changed.metadata()
    async with changed.person.client.post(f"/api/credentials/{changed.credential_id}/validate") as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (409, "wrong_account")
    assert (await changed.metadata())["last_validated_at"] == before["last_validated_at"]


@pytest.mark.parametrize("page", ["/?wait", "/accounts/{id}?wait=1", "/accounts/{id}/orders?wait=1"])
async def test_pages_show_nothing_of_another_account(changed: Account, forgetful: Service, page: str) -> None:
    cookie = await sign_in_by_link(forgetful, changed.person.user_id)
    address = page.format(id=changed.credential_id)
    async with (
        ClientSession(forgetful.url, headers={**BROWSER, "Cookie": cookie}) as browser,
        browser.get(address) as answer,
    ):
        html = await answer.text()
    assert answer.status == 200
    assert "different Alpaca account" in html
    assert not [figure for figure in _THEIRS if figure in html]


async def test_the_stream_sends_nothing_of_another_account(changed: Account) -> None:
    async with listening_to(changed.person.client) as sse:
        await sse.until("problem", credential_id=changed.credential_id, code="wrong_account")
        assert not sse.of("account-data")
        assert not sse.of("position")


@pytest.fixture
async def unopened(forgetful: Service, faults: Faults) -> AsyncGenerator[tuple[Person, Json]]:
    """Keys of an account of which Alpaca says no more than this, as in alpacahq/alpaca-py#216."""
    async with make_person(forgetful, "alice") as person:
        key_id = paper_key()
        body = {
            "account_number": None, "buying_power": "0", "crypto_status": "INACTIVE", "currency": "USD",
            "effective_buying_power": "0", "id": "0f6b3f0e-0000-4000-8000-00000000abcd", "status": "ONBOARDING",
        }  # fmt: skip
        await faults.set(key_id, path="/v2/account", body=body)
        yield person, await person.store(key_id)


async def test_an_account_that_is_not_open_yet_is_stored_with_its_status(unopened: tuple[Person, Json]) -> None:
    person, credential = unopened
    assert (credential["account_status"], credential["account_number"]) == ("ONBOARDING", None)
    path = f"/api/credentials/{credential['id']}"
    async with person.client.get(f"{path}/account-data") as answer:
        problem = await answer.json(content_type=None)
    assert (answer.status, problem["code"], problem["account_status"]) == (409, "account_not_open", "ONBOARDING")
    assert "ONBOARDING" in problem["detail"]
    assert "again shortly" not in problem["detail"]
    async with person.client.post(f"{path}/validate") as answer:
        reported = await answer.json()
    assert (answer.status, reported["is_valid"], reported["account"]["status"]) == (200, True, "ONBOARDING")
    assert any("ONBOARDING" in finding for finding in reported["findings"])


async def test_lists_of_an_account_that_is_not_open_can_be_read(unopened: tuple[Person, Json], faults: Faults) -> None:
    person, credential = unopened
    async with person.client.get(f"/api/credentials/{credential['id']}/positions") as answer:
        assert (answer.status, (await answer.json())["unreadable"]) == (200, 0)


async def test_card_and_page_show_the_status_of_an_account_that_is_not_open(
    unopened: tuple[Person, Json], forgetful: Service
) -> None:
    person, credential = unopened
    cookie = await sign_in_by_link(forgetful, person.user_id)
    async with ClientSession(forgetful.url, headers={**BROWSER, "Cookie": cookie}) as browser:
        for page in ("/?wait", f"/accounts/{credential['id']}?wait=1"):
            async with browser.get(page) as answer:
                assert "ONBOARDING" in await answer.text()


async def test_the_status_of_an_account_is_that_of_the_last_check(account: Account) -> None:
    assert (await account.metadata())["account_status"] == "ACTIVE"
    await account.misbehave(path="/v2/account", account_raw={"status": '"ACCOUNT_CLOSED"'})
    async with account.person.client.post(f"/api/credentials/{account.credential_id}/validate") as answer:
        assert answer.status == 200
    assert (await account.metadata())["account_status"] == "ACCOUNT_CLOSED"


@pytest.mark.parametrize("read", _READS)
async def test_reads_of_the_stored_account_succeed(account: Account, read: str) -> None:
    await account.answer(ANSWERS[_READS[read]], path=_READS[read])
    assert (await account.get(read))["items"]
