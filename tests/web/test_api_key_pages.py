"""Adding an account, and the API key page: every action, every rejection, and no access for others."""

import asyncio

import asyncpg
import pytest
from aiohttp import ClientSession

from corral_sandbox import secret_of
from tests.conftest import Faults
from tests.people import Person, key_pair, live_key, paper_key
from tests.web.parsed_html import Parsed, read_page

_ACTIONS = ["rename", "replace", "switch-off", "switch-on", "delete", "check"]


async def test_adding_an_account_shows_which_account_it_is(alice: Person, alices: ClientSession) -> None:
    key = live_key()
    async with alices.post(
        "/keys/new", data={"nickname": "Long-term", "credential_type": "", **key_pair(key)}
    ) as answer:
        html = await answer.text()
    assert (answer.status, answer.url.path.endswith("/found")) == (200, True)
    text = Parsed(html).text()
    assert "LIVE" in text
    assert "Long-term" in text
    assert secret_of(key) not in html
    assert key not in html
    async with alice.client.get("/api/credentials") as listed:
        (stored,) = (await listed.json())["items"]
    assert stored["account_number"] in text


async def test_rejected_keys_say_why(alices: ClientSession, faults: Faults) -> None:
    down = paper_key()
    await faults.set(down, status=503)
    for sent, status, reported in [
        ({"api_key": paper_key(), "secret_key": "wrong-secret"}, 422, "neither for paper nor for live"),
        ({**key_pair(paper_key()), "credential_type": "live"}, 422, "This API key is for paper trading, not for live"),
        (key_pair(down), 502, "Alpaca"),
    ]:
        async with alices.post("/keys/new", data={"nickname": "mine", **sent}) as answer:
            text = Parsed(await answer.text()).text()
        assert answer.status == status, text
        assert reported in text
        assert sent["api_key"] not in text
    assert "Connect your first account" in (await read_page(alices, "/")).text()


async def test_renaming_pausing_resuming_replacing_and_removing(alice: Person, alices: ClientSession) -> None:
    key = paper_key()
    stored = await alice.store(key, nickname="before")
    keys = f"/keys/{stored['id']}"
    for action, sent, where, reported in [
        ("rename", {"nickname": "after"}, keys, "after"),
        ("switch-off", {}, keys, "Paused"),
        ("switch-on", {}, keys, "Active"),
        ("replace", key_pair(key), keys, "after"),
        ("delete", {"nickname": "after"}, "/", "Connect your first account"),
    ]:
        async with alices.post(f"{keys}/{action}", data=sent) as answer:
            assert (answer.status, answer.url.path) == (200, where)
            assert reported in Parsed(await answer.text()).text(), action


async def test_removing_needs_the_exact_name(alice: Person, alices: ClientSession) -> None:
    stored = await alice.store(nickname="Long-term")
    for typed in [{}, {"nickname": "long-term"}, {"nickname": "Long"}]:
        async with alices.post(f"/keys/{stored['id']}/delete", data=typed) as answer:
            html = await answer.text()
            assert answer.status == 422
            assert 'id="delete-nickname-error"' in html
            assert 'class="notice problem"' not in html  # the field says it all
    await read_page(alices, f"/keys/{stored['id']}")


async def test_keys_of_another_account_are_not_accepted_as_replacement(alice: Person, alices: ClientSession) -> None:
    stored = await alice.store()
    for other, reported in [
        (paper_key(), "a different Alpaca account"),
        (live_key(), "This API key is for live trading"),
    ]:
        async with alices.post(f"/keys/{stored['id']}/replace", data=key_pair(other)) as answer:
            html = await answer.text()
        assert answer.status == 422
        assert reported in html
        assert other not in html


async def test_a_check_shows_alpacas_current_response(alice: Person, alices: ClientSession, faults: Faults) -> None:
    key = paper_key()
    stored = await alice.store(key)
    async with alices.post(f"/keys/{stored['id']}/check", data={}) as answer:
        assert "Alpaca accepts this API key for paper trading" in await answer.text()
    await faults.set(key, status=401)
    async with alices.post(f"/keys/{stored['id']}/check", data={}) as answer:
        assert answer.status == 200
        assert "no longer accepts this API key for paper trading" in await answer.text()
    await faults.set(key, status=503)
    async with alices.post(f"/keys/{stored['id']}/check", data={}) as answer:
        assert answer.status == 502
        assert "form-problem" in await answer.text()


@pytest.mark.parametrize("action", _ACTIONS)
async def test_bob_cannot_see_or_change_alices_api_key(
    action: str, alice: Person, bobs: ClientSession, alices: ClientSession
) -> None:
    key = paper_key()
    stored = await alice.store(key, nickname="the meadow account")
    sent = {"rename": {"nickname": "bob's"}, "replace": key_pair(key), "delete": {"nickname": "the meadow account"}}
    for address in [f"/keys/{stored['id']}", f"/keys/{stored['id']}/found", f"/keys/{stored['id']}/{action}"]:
        async with bobs.get(address) as answer:
            assert answer.status == 404
            assert "meadow" not in await answer.text()
    async with bobs.post(f"/keys/{stored['id']}/{action}", data=sent.get(action, {})) as answer:
        assert answer.status == 404
        assert "meadow" not in await answer.text()
    text = (await read_page(alices, f"/keys/{stored['id']}")).text()
    assert "the meadow account" in text
    assert "Active" in text


async def test_unknown_actions_have_no_page(alice: Person, alices: ClientSession) -> None:
    stored = await alice.store()
    for action in ("other", "check/now", "Delete"):
        async with alices.get(f"/keys/{stored['id']}/{action}") as answer:
            assert answer.status == 404, action


@pytest.mark.parametrize(("key_id", "kind"), [(paper_key(), "paper"), (live_key(), "live")], ids=["paper", "live"])
async def test_api_key_pages_show_paper_or_live_in_color_and_text(
    key_id: str, kind: str, alice: Person, alices: ClientSession
) -> None:
    stored = await alice.store(key_id)
    for page in ["", "/found", *[f"/{action}" for action in _ACTIONS]]:
        parsed = await read_page(alices, f"/keys/{stored['id']}{page}")
        assert parsed.attributes("body")[0]["class"] == f"about-{kind}", page
    for action, sent in [("delete", {"nickname": "x"}), ("rename", {}), ("check", {"more": "1"})]:
        async with alices.post(f"/keys/{stored['id']}/{action}", data=sent) as answer:
            assert answer.status == 422
            assert Parsed(await answer.text()).attributes("body")[0]["class"] == f"about-{kind}", action


async def test_keys_that_a_check_finds_rejected_are_rechecked_soon(
    alice: Person, bob: Person, alices: ClientSession, faults: Faults, owner: asyncpg.Connection
) -> None:
    key = paper_key()
    stored = await alice.store(key)
    # What was looked after within the last minute is not looked after again.
    asked = "SELECT checked_at FROM corral.credentials WHERE id = $1"
    await owner.execute(
        "UPDATE corral.credentials SET checked_at = checked_at - interval '2 minutes' WHERE id = $1", stored["id"]
    )
    before = await owner.fetchval(asked, stored["id"])
    await faults.set(key, status=401)
    async with alices.post(f"/keys/{stored['id']}/check", data={}) as answer:
        assert answer.status == 200
    async with asyncio.timeout(30):
        while True:
            if await owner.fetchval(asked, stored["id"]) != before:
                return
            await asyncio.sleep(0.1)


async def test_rejected_keys_are_marked(
    alice: Person, bob: Person, alices: ClientSession, owner: asyncpg.Connection
) -> None:
    stored, other = await alice.store(), await alice.store()
    await owner.execute("UPDATE corral.credentials SET refused_at = now() WHERE id = $1", stored["id"])
    assert "has rejected this API key since" in (await read_page(alices, f"/keys/{stored['id']}")).text()
    assert "has rejected this API key" not in (await read_page(alices, f"/keys/{other['id']}")).text()


@pytest.mark.parametrize("path", ["/keys/1", "/keys/new/found", "/keys/7313be74-76ad-4323-84be-e7895b777296/other"])
async def test_other_paths_are_not_found(path: str, alices: ClientSession) -> None:
    async with alices.get(path) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(("field", "name"), [("api_key", "key ID"), ("secret_key", "secret")])
async def test_invalid_characters_in_a_pasted_key_are_shown_at_the_field(
    alice: Person, bob: Person, alices: ClientSession, faults: Faults, field: str, name: str
) -> None:
    stored, key_id = await alice.store(), paper_key()
    keys = key_pair(key_id)
    inside = keys | {field: f"{keys[field][:4]}\u200b{keys[field][4:]}"}
    for path, more in [("/keys/new", {"nickname": "x"}), (f"/keys/{stored['id']}/replace", {})]:
        async with alices.post(path, data=inside | more) as answer:
            page = Parsed(await answer.text())
        assert answer.status == 422
        (error,) = [text for tag, text in page.texts if tag == "p" and "zero-width" in text]
        assert error == f"The {name} contains a zero-width space (U+200B). Copy it again."
        assert secret_of(key_id) not in page.text()
    assert await faults.calls_of(key_id) == 0
    around = {name: f"\ufeff{value}\u00a0\n" for name, value in keys.items()}
    async with alices.post("/keys/new", data={"nickname": "x", **around}) as answer:
        assert (answer.status, answer.url.path.endswith("/found")) == (200, True)
