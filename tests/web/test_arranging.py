"""Order, pins, groups and the view of the home page: kept on the server, for one person, without scripts."""

import re

import pytest
from aiohttp import ClientSession

from tests.conftest import Faults
from tests.people import Person, paper_key
from tests.web.parsed_html import Parsed, read_page


async def test_order_pins_and_groups_are_kept_for_every_page(alice: Person, alices: ClientSession) -> None:
    ids = {name: (await alice.store(nickname=name))["id"] for name in ["one", "two", "three"]}
    assert await _order(alices) == ["one", "two", "three"]
    await _arrange(alices, account=ids["three"], action="up")
    assert await _order(alices) == ["one", "three", "two"]
    await _arrange(alices, account=ids["two"], action="pin")
    await _arrange(alices, account=ids["one"], action="group", group="  Retirement ")
    assert await _order(alices) == ["two", "one", "three"]
    assert await _order(alices, "/?layout=table&group=group") == ["one", "two", "three"]  # a group, and no group
    assert "Retirement 1" in (await read_page(alices, "/?group=group")).text()
    orders = await read_page(alices, f"/accounts/{ids['one']}/orders")
    links = [link for link in orders.attributes("a") if "data-key" in link]
    assert [(link["href"], link["data-key"]) for link in links] == [
        (f"/accounts/{ids[name]}/orders", str(number)) for number, name in enumerate(["two", "one", "three"], 1)
    ]
    assert {link["rel"]: link["href"] for link in orders.attributes("a") if "rel" in link} == {
        "prev": f"/accounts/{ids['two']}/orders",
        "next": f"/accounts/{ids['three']}/orders",
    }
    await _arrange(alices, unpin=ids["two"])
    await _arrange(alices, account=ids["one"], action="group")  # an empty name
    assert await _order(alices) == ["one", "three", "two"]
    assert "Retirement" not in (await read_page(alices, "/arrange")).text()


async def test_nobody_arranges_the_accounts_of_another_person(
    alice: Person, bob: Person, alices: ClientSession, bobs: ClientSession
) -> None:
    mine = (await alice.store(nickname="mine"))["id"]
    await bob.store(nickname="bobs")
    for form in [{"account": mine, "action": "up"}, {"account": mine, "action": "pin"}, {"pin": mine}]:
        async with bobs.post("/arrange", data=form) as answer:
            assert answer.status == 404
            assert "Account not found" in await answer.text()
    assert "mine" not in (await read_page(bobs, "/arrange")).text()
    await _choose(bobs, layout="table")
    assert (await read_page(alices, "/arrange")).text().count("★") == 0


@pytest.mark.parametrize(
    "form",
    [{}, {"account": "x", "action": "up"}, {"action": "up"}, {"group": "x" * 61}, {"account": "", "color": "red"}],
)
async def test_a_form_that_makes_no_sense_is_shown_again(form: dict[str, str], alices: ClientSession) -> None:
    async with alices.post("/arrange", data=form) as answer:
        assert answer.status == 422
        assert "Arrange accounts" in await answer.text()


async def test_the_view_is_kept_and_the_url_overrides_it(alice: Person, alices: ClientSession) -> None:
    for name in ["bee", "ant"]:
        await alice.store(nickname=name)
    assert await _choose(alices, layout="table", sort="name", group="environment") == "/#accounts"
    html = await _html(alices, "/")
    assert 'class="dense accounts"' in html
    assert await _order(alices) == ["ant", "bee"]
    assert await _order(alices, "/?layout=cards&sort=-name") == ["bee", "ant"]
    assert "data-shortcuts" in html
    assert await _choose(alices, shortcuts="off") == "/#shortcuts"
    html = await _html(alices, "/")
    assert "data-shortcuts" not in html
    assert 'class="dense accounts"' in html
    async with alices.post("/", data={"sort": "luck"}) as answer:
        assert answer.status == 422


async def test_the_market_and_the_curve_are_shown_and_missing_ones_are_left_out(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    good, bad = paper_key(), paper_key()
    await alice.store(good, nickname="good")
    await alice.store(bad, nickname="bad")
    await faults.set_all(
        [{"key_id": bad, "path": path, "status": 503} for path in ["/v2/account/portfolio/history", "/v2/clock"]]
    )
    parsed = await read_page(alices, "/?wait&span=1M")
    assert re.search(r"(Market open · closes|Closed · opens) .*\d\d:\d\d ET", parsed.text())
    (chart,) = [one for one in parsed.attributes("div") if "data-equity-chart" in one]
    assert chart["data-history"] == "/curves?show=paper&span=1M"
    assert chart["data-account-type"] == "paper"
    assert "1 of 2 accounts is not included." in parsed.text()
    async with alices.get("/curves?show=paper&span=1M") as answer:
        (curve,) = (await answer.json())["items"]
    assert (curve["currency"], curve["note"]) == ("USD", "1 of 2 accounts is not included.")
    assert " ".join(curve["accounts"]) == chart["data-accounts"]
    assert len(curve["items"]) > 5
    await faults.set_all([{"key_id": key, "path": "/v2/clock", "status": 503} for key in [good, bad]])


async def test_one_account_has_no_totals_and_nothing_to_arrange(alice: Person, alices: ClientSession) -> None:
    await alice.store()
    parsed = await read_page(alices, "/?wait")
    assert not [1 for _, one in parsed.tags if {"data-total", "data-attention", "data-search"} & one.keys()]
    assert "/arrange" not in {link["href"] for link in parsed.attributes("a")}


async def _order(session: ClientSession, path: str = "/") -> list[str]:
    parsed = Parsed(await _html(session, path))
    return [(one["data-entry"] or "").split()[0] for _, one in parsed.tags if "data-entry" in one]


async def _arrange(session: ClientSession, **form: str) -> None:
    async with session.post("/arrange", data=form, allow_redirects=False) as answer:
        assert answer.status == 303, await answer.text()


async def _choose(session: ClientSession, **form: str) -> str:
    async with session.post("/", data=form, allow_redirects=False) as answer:
        assert answer.status == 303, await answer.text()
        return answer.headers["location"]


async def _html(session: ClientSession, path: str) -> str:
    async with session.get(path) as answer:
        assert answer.status == 200
        return await answer.text()
