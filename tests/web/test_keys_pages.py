"""Keys by the pages alone: each deed, each refusal, and never somebody else's."""

import asyncio

import asyncpg
import pytest
from aiohttp import ClientSession

from corral_sandbox import secret_of
from tests.conftest import Faults
from tests.people import Person, key_pair, live_key, paper_key
from tests.web.html import Parsed, read_page

_DEEDS = ["rename", "replace", "switch-off", "switch-on", "delete", "check"]


async def test_what_alpaca_found_is_shown_before_anything_is_called_done(alice: Person, alices: ClientSession) -> None:
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


async def test_refusals_say_which(alices: ClientSession, faults: Faults) -> None:
    down = paper_key()
    await faults.set(down, status=503)
    for sent, status, told in [
        ({"api_key": paper_key(), "secret_key": "wrong-secret"}, 422, "neither for paper nor for live"),
        ({**key_pair(paper_key()), "credential_type": "live"}, 422, "These are keys for paper trading, not for live"),
        (key_pair(down), 502, "Alpaca"),
    ]:
        async with alices.post("/keys/new", data={"nickname": "mine", **sent}) as answer:
            text = Parsed(await answer.text()).text()
        assert answer.status == status, text
        assert told in text
        assert sent["api_key"] not in text
    assert "Your first account" in (await read_page(alices, "/")).text()


async def test_keys_are_renamed_switched_replaced_and_deleted(alice: Person, alices: ClientSession) -> None:
    key = paper_key()
    stored = await alice.store(key, nickname="before")
    keys = f"/keys/{stored['id']}"
    for deed, sent, where, told in [
        ("rename", {"nickname": "after"}, keys, "after"),
        ("switch-off", {}, keys, "Switched off"),
        ("switch-on", {}, keys, "Switched on"),
        ("replace", key_pair(key), f"{keys}/found", "stored sealed as “after”"),
        ("delete", {"nickname": "after"}, "/", "Your first account"),
    ]:
        async with alices.post(f"{keys}/{deed}", data=sent) as answer:
            assert (answer.status, answer.url.path) == (200, where)
            assert told in Parsed(await answer.text()).text(), deed


async def test_without_its_nickname_nothing_is_deleted(alice: Person, alices: ClientSession) -> None:
    stored = await alice.store(nickname="Long-term")
    for typed in [{}, {"nickname": "long-term"}, {"nickname": "Long"}]:
        async with alices.post(f"/keys/{stored['id']}/delete", data=typed) as answer:
            assert answer.status == 422
    await read_page(alices, f"/keys/{stored['id']}")


async def test_keys_of_another_account_replace_nothing(alice: Person, alices: ClientSession) -> None:
    stored = await alice.store()
    for other, told in [(paper_key(), "another Alpaca account"), (live_key(), "keys for live trading")]:
        async with alices.post(f"/keys/{stored['id']}/replace", data=key_pair(other)) as answer:
            html = await answer.text()
        assert answer.status == 422
        assert told in html
        assert other not in html


async def test_a_check_tells_what_alpaca_says_now(alice: Person, alices: ClientSession, faults: Faults) -> None:
    key = paper_key()
    stored = await alice.store(key)
    async with alices.post(f"/keys/{stored['id']}/check", data={}) as answer:
        assert "Alpaca accepts these keys for paper trading" in await answer.text()
    await faults.set(key, status=401)
    async with alices.post(f"/keys/{stored['id']}/check", data={}) as answer:
        assert answer.status == 200
        assert "no longer accepts these keys for paper trading" in await answer.text()
    await faults.set(key, status=503)
    async with alices.post(f"/keys/{stored['id']}/check", data={}) as answer:
        assert answer.status == 502
        assert "form-problem" in await answer.text()


@pytest.mark.parametrize("deed", _DEEDS)
async def test_bob_finds_nothing_of_alices_and_changes_nothing(
    deed: str, alice: Person, bobs: ClientSession, alices: ClientSession
) -> None:
    key = paper_key()
    stored = await alice.store(key, nickname="the meadow account")
    sent = {"rename": {"nickname": "bob's"}, "replace": key_pair(key), "delete": {"nickname": "the meadow account"}}
    for address in [f"/keys/{stored['id']}", f"/keys/{stored['id']}/found", f"/keys/{stored['id']}/{deed}"]:
        async with bobs.get(address) as answer:
            assert answer.status == 404
            assert "meadow" not in await answer.text()
    async with bobs.post(f"/keys/{stored['id']}/{deed}", data=sent.get(deed, {})) as answer:
        assert answer.status == 404
        assert "meadow" not in await answer.text()
    text = (await read_page(alices, f"/keys/{stored['id']}")).text()
    assert "the meadow account" in text
    assert "Switched on" in text


async def test_there_is_no_page_for_a_deed_that_is_none(alice: Person, alices: ClientSession) -> None:
    stored = await alice.store()
    for deed in ("other", "check/now", "Delete"):
        async with alices.get(f"/keys/{stored['id']}/{deed}") as answer:
            assert answer.status == 404, deed


@pytest.mark.parametrize(("key_id", "kind"), [(paper_key(), "paper"), (live_key(), "live")], ids=["paper", "live"])
async def test_on_every_page_about_them_paper_and_live_differ_in_the_frame_and_in_the_word(
    key_id: str, kind: str, alice: Person, alices: ClientSession
) -> None:
    stored = await alice.store(key_id)
    for page in ["", "/found", *[f"/{deed}" for deed in _DEEDS]]:
        parsed = await read_page(alices, f"/keys/{stored['id']}{page}")
        assert parsed.attributes("body")[0]["class"] == f"about-{kind}", page
    for deed, sent in [("delete", {"nickname": "x"}), ("rename", {}), ("check", {"more": "1"})]:
        async with alices.post(f"/keys/{stored['id']}/{deed}", data=sent) as answer:
            assert answer.status == 422
            assert Parsed(await answer.text()).attributes("body")[0]["class"] == f"about-{kind}", deed


async def test_keys_that_a_check_finds_refused_are_looked_after_soon(
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


async def test_keys_that_are_marked_as_refused_say_so(
    alice: Person, bob: Person, alices: ClientSession, owner: asyncpg.Connection
) -> None:
    stored, other = await alice.store(), await alice.store()
    await owner.execute("UPDATE corral.credentials SET refused_at = now() WHERE id = $1", stored["id"])
    assert "refuses these keys since" in (await read_page(alices, f"/keys/{stored['id']}")).text()
    assert "refuses these keys" not in (await read_page(alices, f"/keys/{other['id']}")).text()


@pytest.mark.parametrize("path", ["/keys/1", "/keys/new/found", "/keys/7313be74-76ad-4323-84be-e7895b777296/other"])
async def test_there_is_nothing_at_other_addresses(path: str, alices: ClientSession) -> None:
    async with alices.get(path) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(("field", "name"), [("api_key", "key ID"), ("secret_key", "secret")])
async def test_what_is_wrong_inside_a_pasted_key_is_said_at_its_field(
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
