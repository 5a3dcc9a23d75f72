"""Environment and currency on all pages of an account, and its gain."""

import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from aiohttp import ClientSession

from corral.web.view.activities import ACTIVITY_FILTERS
from tests.conftest import Faults
from tests.people import Person, live_key, paper_key
from tests.web.parsed_html import read_page

_PAGES = ["", "/orders", "/activities"]


@pytest.mark.parametrize("page", _PAGES)
@pytest.mark.parametrize(("key_id", "kind"), [(paper_key(), "paper"), (live_key(), "live")], ids=["paper", "live"])
async def test_account_pages_show_their_environment(
    key_id: str, kind: str, page: str, alice: Person, bob: Person, alices: ClientSession
) -> None:
    stored = await alice.store(key_id)
    parsed = await read_page(alices, f"/accounts/{stored['id']}{page}")
    assert parsed.attributes("body")[0]["class"] == f"about-{kind}"
    badges = [one["class"] for one in parsed.attributes("span") if "badge" in (one.get("class") or "")]
    assert badges == [f"badge {kind}"]


@pytest.mark.parametrize("page", ["", "/orders"])
async def test_money_is_shown_in_the_accounts_currency(
    page: str, alice: Person, bob: Person, alices: ClientSession, faults: Faults
) -> None:
    key = paper_key()
    await faults.set(key, path="/v2/account", account_raw={"currency": '"EUR"', "equity": '"48151623.42"'})
    stored = await alice.store(key)
    text = (await read_page(alices, f"/accounts/{stored['id']}{page}?wait=true")).text()
    assert "€" in text
    assert "$" not in text


async def test_the_gain_is_alpacas_for_the_whole_period(
    alice: Person, bob: Person, alices: ClientSession, faults: Faults
) -> None:
    key = paper_key()
    stored = await alice.store(key)
    history = {
        "timestamp": [1_775_606_400, 1_775_692_800],
        "equity": [100, 92.75],
        "profit_loss": [1.5, -7.25],
        "profit_loss_pct": [0.015, -0.0725],
        "base_value": 100,
        "timeframe": "1D",
    }
    await faults.set_all(
        [
            {"key_id": key, "path": "/v2/account/portfolio/history", "body_text": json.dumps(history)},
            {"key_id": key, "path": "/v2/account", "account_raw": {"equity": '"92.75"'}},
        ]
    )
    async with alices.get(f"/accounts/{stored['id']}?wait=true") as answer:
        readout = (await answer.text()).partition('id="chart-readout"')[2].partition("</p>")[0]
    assert "\N{MINUS SIGN}$7.25" in readout
    assert "\N{MINUS SIGN}7.25%" in readout


async def test_the_activities_csv_has_the_filters_of_the_page(
    alice: Person, bob: Person, alices: ClientSession
) -> None:
    stored = await alice.store()
    kind = next(kind for kind, name in ACTIVITY_FILTERS.items() if name == "Fees")
    page = await read_page(alices, f"/accounts/{stored['id']}/activities?{urlencode({'kind': kind})}&since=2026-11-01")
    (file,) = [link["href"] or "" for link in page.attributes("a") if "activities.csv" in (link["href"] or "")]
    asked = parse_qs(urlsplit(file).query)
    assert asked["activity_types"] == [kind]
    assert "after" in asked
