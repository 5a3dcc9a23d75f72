"""The home page: fast, exact, escaped and private."""

import json
import re

import orjson
import pytest
from aiohttp import ClientSession

from corral_sandbox import Sandbox
from tests.access import sign_in_by_link
from tests.conftest import Faults, StartService
from tests.people import Person, live_key, make_person, paper_key
from tests.stream.trading import trading_key
from tests.web.conftest import BROWSER
from tests.web.parsed_html import Parsed, read_page

_PAYLOAD = "<img src=x onerror=alert(1)>\"'{{7*7}}</script>"


async def test_cards_have_alpacas_exact_figures(alice: Person, alices: ClientSession) -> None:
    stored = await alice.store(nickname="Long-term")
    async with alice.client.get(f"/api/credentials/{stored['id']}/account-data") as answer:
        data = await answer.json()
    parsed = await read_page(alices, "/")
    shown = [element["value"] for element in parsed.attributes("data")]
    assert {data["balance"], data["buying_power"]} <= set(shown)
    assert "Long-term" in parsed.text()
    assert "PAPER" in parsed.text()
    (card,) = parsed.attributes("article")
    assert card["data-last-equity"]


async def test_users_see_only_their_own_accounts(
    alice: Person, bob: Person, alices: ClientSession, bobs: ClientSession
) -> None:
    await alice.store(nickname="the meadow account")
    await bob.store(live_key(), nickname="the valley account")
    for session, own, other in [(alices, "meadow", "valley"), (bobs, "valley", "meadow")]:
        text = (await read_page(session, "/")).text()
        assert f"the {own} account" in text
        assert f"the {other} account" not in text
        async with session.get("/closes") as answer:
            assert len(await answer.json()) == 1


async def test_users_of_the_same_account_see_their_own_close(
    alice: Person, bob: Person, alices: ClientSession, bobs: ClientSession, faults: Faults
) -> None:
    key, other_key = paper_key(), paper_key()
    ids: list[str] = []
    for person, session, close in [(alice, alices, "111.11"), (bob, bobs, "222.22")]:
        closes = [(key, close), (other_key, f"{close}5")]
        reported: list[dict[str, object]] = [
            {"key_id": each, "path": "/v2/account", "account_raw": {"last_equity": f'"{worth}"'}}
            for each, worth in closes
        ]
        await faults.set_all(reported)
        ids += [(await person.store(each))["id"] for each, _ in closes]
        await read_page(session, "/?wait")
    for session, own, close in [(alices, ids[:2], "111.11"), (bobs, ids[2:], "222.22")]:
        async with session.get("/closes") as answer:
            closes_told = {account: known["last_equity"] for account, known in (await answer.json()).items()}
        assert closes_told == {own[0]: close, own[1]: f"{close}5"}
        cards = (await read_page(session, "/")).attributes("article")
        assert {card["data-account"]: card["data-last-equity"] for card in cards} == {
            own[0]: close,
            own[1]: f"{close}5",
        }


async def test_paper_and_live_have_separate_totals(alice: Person, alices: ClientSession) -> None:
    await alice.store(nickname="play")
    await alice.store(nickname="play again")
    await alice.store(live_key(), nickname="real")
    for path, environment in [("/", "live"), ("/?show=paper", "paper"), ("/?show=nothing", "live")]:
        parsed = await read_page(alices, path)
        totals = [attributes["data-total"] for _, attributes in parsed.tags if "data-total" in attributes]
        assert totals == [environment]
    assert [card["class"] for card in parsed.attributes("article")] == ["card paper", "card paper", "card live"]


async def test_texts_of_users_are_escaped(alice: Person, alices: ClientSession) -> None:
    stored = await alice.store(nickname=_PAYLOAD)
    for path in ["/", f"/keys/{stored['id']}", f"/keys/{stored['id']}/delete", f"/keys/{stored['id']}/found"]:
        async with alices.get(path) as answer:
            html = await answer.text()
        parsed = Parsed(html)
        assert _PAYLOAD in "".join(text for _, text in parsed.texts)
        assert {image["src"] for image in parsed.attributes("img")} != {"x"}
        assert not [attributes for _, attributes in parsed.tags if "onerror" in attributes]


async def test_texts_of_alpaca_are_escaped(alice: Person, alices: ClientSession, faults: Faults) -> None:
    key = paper_key()
    stored = await alice.store(key)
    account = {"id": "x", "account_number": _PAYLOAD, "currency": "<b>x</b>", "cash": "1", "equity": "2"}
    body = json.dumps({**account, "buying_power": "3", "last_equity": "1"})
    await faults.set(key, status=200, body_text=body, content_type="application/json")
    parsed = await read_page(alices, "/?wait")
    assert stored["nickname"] in parsed.text()
    assert not parsed.attributes("b")


async def test_the_page_does_not_wait_for_a_slow_account(alice: Person, alices: ClientSession, faults: Faults) -> None:
    slow = paper_key()
    await alice.store(slow, nickname="slow")
    await faults.set(slow, latency_ms=900)
    parsed = await read_page(alices, "/")
    waiting = [attributes for _, attributes in parsed.tags if attributes.get("class") == "figures loading"]
    assert len(waiting) == 1
    assert "still loading" in parsed.text()
    assert not [1 for one in parsed.attributes("details") if "data-attention" in one and "open" in one]
    waited = await read_page(alices, "/?wait")
    assert "still loading" not in waited.text()
    assert not [attributes for _, attributes in waited.tags if attributes.get("class") == "figures loading"]


async def test_a_problem_of_one_account_is_shown_on_its_card(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    broken = paper_key()
    stored = await alice.store(broken, nickname="broken")
    await alice.store(nickname="well")
    await faults.set(broken, status=401)
    parsed = await read_page(alices, "/?wait")
    text = parsed.text()
    assert "no longer accepts this API key" in text
    assert "1 of 2 accounts" in text
    assert [1 for one in parsed.attributes("details") if "data-attention" in one and "open" in one]
    assert re.search("(1 needs|2 need) attention", text)  # one key in a few is of an account that may not trade
    found = {
        one["data-attention-of"]: one["data-code"] for one in parsed.attributes("li") if "data-attention-of" in one
    }
    assert found[stored["id"]] == "credential_refused"
    assert "1 of 2 accounts is not included." in text  # of the curve


async def test_without_accounts_the_page_explains_how_to_add_one(alices: ClientSession) -> None:
    parsed = await read_page(alices, "/")
    assert "Connect your first account" in parsed.text()
    assert "/keys/new" in {link["href"] for link in parsed.attributes("a")}


async def test_a_paused_account_is_shown_and_makes_no_calls(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    key = paper_key()
    stored = await alice.store(key, nickname="idle account")
    async with alice.client.patch(f"/api/credentials/{stored['id']}", json={"is_active": False}) as answer:
        assert answer.status == 200
    before = await faults.calls_of(key)
    text = (await read_page(alices, "/")).text()
    assert "idle account" in text
    assert "This account is paused." in text
    assert await faults.calls_of(key) == before


async def test_a_page_of_twenty_accounts_is_small(start_service: StartService) -> None:
    async with start_service(cache_seconds=60) as service, make_person(service, "alice") as alice:
        for number in range(20):
            await alice.store(f"PKWEIGHED{number}ABCDEF", f"account {number}")  # some of them restricted
        cookie = await sign_in_by_link(service, alice.user_id)
        async with ClientSession(service.url, headers={**BROWSER, "Cookie": cookie}) as session:
            await read_page(session, "/?wait")
            async with session.get("/") as answer:
                html = await answer.text()
            assert "figures loading" not in html
            weight = len(html) + sum([await _weight(session, address) for address in _parts(Parsed(html))])
    assert weight <= 120_000


async def _weight(session: ClientSession, address: str) -> int:
    """As it is sent: files are compressed, pages are not."""
    async with session.get(address) as answer:
        content = await answer.read()
        return int(answer.headers["Content-Length"]) if "Content-Encoding" in answer.headers else len(content)


def _parts(parsed: Parsed) -> list[str]:
    links = [str(link["href"]) for link in parsed.attributes("link")]
    return links + [str(script["src"]) for script in parsed.attributes("script")]


async def test_closes_are_decimal_strings(alice: Person, alices: ClientSession, sandbox: Sandbox) -> None:
    key = await trading_key(sandbox)
    stored = await alice.store(key)
    await read_page(alices, "/?wait")
    async with alices.get("/closes") as answer:
        found = orjson.loads(await answer.read())
    assert list(found) == [stored["id"]]
    assert isinstance(found[stored["id"]]["last_equity"], str)
    assert found[stored["id"]]["blocks"] == []


@pytest.mark.parametrize(
    ("reported", "words"),
    [
        ({"status": '"ACTION_REQUIRED"'}, "ACTION_REQUIRED"),
        ({"account_blocked": "true"}, "blocked this account"),
        ({"trading_blocked": "true"}, "blocked trading"),
        ({"transfers_blocked": "true"}, "blocked transfers"),
        ({"trade_suspended_by_user": "true"}, "suspended"),
    ],
)
async def test_every_restriction_is_on_the_card_and_available_to_its_script(
    alice: Person, alices: ClientSession, bob: Person, faults: Faults, reported: dict[str, str], words: str
) -> None:
    key_id = paper_key()
    await faults.set(key_id, path="/v2/account", account_raw=reported)
    stored = await alice.store(key_id)
    assert words in (await read_page(alices, "/?wait")).text()
    async with alices.get("/closes") as answer:
        blocks = (await answer.json())[stored["id"]]["blocks"]
    assert any(words in block for block in blocks)  # one key in a few is of an account that may not trade


async def test_a_sparkline_with_unreadable_points_is_marked_incomplete(
    alice: Person, alices: ClientSession, bob: Person, faults: Faults
) -> None:
    key_id = paper_key()
    history = {"timestamp": [1795600800, 1795601700, 1795602600], "equity": [1, 2, "?"], "timeframe": "15Min"}
    history |= {"profit_loss": None, "profit_loss_pct": None, "base_value": 1}
    await faults.set(key_id, path="/v2/account/portfolio/history", body=history)
    await alice.store(key_id)
    labels = [svg.get("aria-label") or "" for svg in (await read_page(alices, "/?wait")).attributes("svg")]
    assert any("incomplete" in label for label in labels)
