"""Texts of users, Alpaca and others are shown as text on every page, by every script, and never run."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession
from playwright.async_api import Page, expect

from corral_sandbox import Sandbox
from tests.accounts.alpaca_lists import DIVIDEND, FILL, ORDER, POSITION
from tests.browser.conftest import TIMEOUT_MS, Browsing, open_page
from tests.conftest import Faults, StartService
from tests.identity.members import make_administrator
from tests.people import Person, make_person, paper_key

# In the 64 characters that Alpaca's texts may have, it leaves a text, an attribute in either quotes, a comment and a
# script; and is a template, should it be one twice.
PAYLOAD = '\'"></a></script>--><img src=x onerror="ran=1">{{7*7}}'
# As it stands in an e-mail address, which has no spaces.
AT_SIGN = "\"'></b><img/src=x/onerror=ran=1>"
_CURRENCY = '"><i>&'  # of at most eight characters
_ORDER_ID = "61e69015-8549-4bfd-b9c3-01e75843f47d"
_ENTITY = "&lt;img src=x&gt; %3Cimg%3E"


@pytest.fixture
async def key_id(faults: Faults) -> str:
    """Of an account in which every text is one that strangers wrote."""
    key_id = paper_key()
    await faults.set_all(_answers(key_id))
    return key_id


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no script"])
async def test_texts_from_outside_are_text_on_every_page(
    has_script: bool,  # noqa: FBT001 - pytest passes parameters by name
    start_service: StartService,
    browsing: Browsing,
    bob: Person,
    key_id: str,
) -> None:
    async with start_service(stream_poll_seconds=0.2) as quick, make_person(quick, AT_SIGN) as alice:
        await make_administrator(quick, alice.email)
        stored, _ = await alice.store(key_id, nickname=PAYLOAD), await alice.store(nickname=_ENTITY)
        options = {"base_url": quick.url, "user_agent": f"{PAYLOAD} Firefox/1", "java_script_enabled": has_script}
        async with browsing(alice, **options) as context:
            page = await context.new_page()
            account, keys = f"/accounts/{stored['id']}", f"/keys/{stored['id']}"
            for path, texts in {
                "/?wait": [PAYLOAD, _ENTITY],
                f"{account}?wait=true": [PAYLOAD],
                f"{account}/orders?wait=true": [PAYLOAD],
                f"{account}/orders/{_ORDER_ID}?wait=true": [PAYLOAD],
                f"{account}/activities?wait=true": [PAYLOAD],
                f"{account}/positions/AAPL?wait=true": [PAYLOAD],
                **{f"/{name}?wait=true": [PAYLOAD] for name in ("holdings", "orders", "activity")},
                "/arrange": [PAYLOAD, _ENTITY],
                f"{account}/grants": [PAYLOAD],
                "/you/audit": [PAYLOAD, _ENTITY],
                keys: [PAYLOAD],
                **{f"{keys}/{action}": [PAYLOAD] for action in ("found", "rename", "replace", "switch-off", "delete")},
                "/you": [AT_SIGN],
                "/people": [AT_SIGN],
            }.items():
                await page.goto(path)
                for text in texts:
                    await expect(page.get_by_text(text).first, path).to_be_attached()
                await _nothing_ran(page, path)
            if has_script:
                await _in_forms(page)
                await _in_addresses(page, stored["id"])


async def test_texts_from_the_stream_are_text(
    start_service: StartService, browsing: Browsing, alice: Person, bob: Person, faults: Faults, sandbox: Sandbox
) -> None:
    key_id = paper_key()
    plain = {**ORDER, "id": "an-order", "status": "new", "filled_qty": "0"}
    held = {**POSITION, "asset_id": PAYLOAD, "unrealized_pl": "1"}
    await faults.set_all(_account_of(key_id, _list(key_id, "/v2/orders", plain), _list(key_id, "/v2/positions", held)))
    stored = await alice.store(key_id, nickname=PAYLOAD)
    async with start_service(stream_poll_seconds=0.2) as quick, browsing(alice, base_url=quick.url) as context:
        cards = await open_page(context)
        overview = await open_page(context, f"/accounts/{stored['id']}?wait=true")
        orders = await open_page(context, f"/accounts/{stored['id']}/orders?wait=true")
        await expect(orders.locator("[data-cell=status]")).to_have_text("New")
        for page in (cards, overview, orders):
            await page.evaluate("window.wasHere = true")
        await _orders_are_looked_through(sandbox, key_id)
        later = {**plain, "status": PAYLOAD, "filled_qty": "1234.5", "updated_at": "2026-11-24T14:31:05Z"}
        changed = {**held, "unrealized_pl": "48151623.42"}
        lists = [_list(key_id, "/v2/orders", later), _list(key_id, "/v2/positions", changed)]
        await faults.set_all(_account_of(key_id, *lists, equity='"48151623.42"', currency=json.dumps(_CURRENCY)))
        await expect(orders.locator("[data-cell=status]")).to_have_text(PAYLOAD)
        await expect(orders.locator("[data-cell=filled_qty]")).to_have_text("1,234.5")
        await expect(overview.locator("[data-cell=unrealized_pl]")).to_contain_text("48,151,623.42")
        for page in (cards, overview):
            await expect(page.locator("[data-figure=equity]")).to_have_text(f"48,151,623.42 {_CURRENCY}")
        for page in (cards, overview, orders):
            assert await page.evaluate("window.wasHere")
            await _nothing_ran(page, page.url)


async def _orders_are_looked_through(sandbox: Sandbox, key_id: str) -> None:
    """Once more from now on: what was there before the first look is no news."""
    async with ClientSession(sandbox.url) as client, asyncio.timeout(TIMEOUT_MS / 1000):
        before = await _looks(client, key_id)
        while True:
            if await _looks(client, key_id) > before:
                return
            await asyncio.sleep(0.1)


async def _looks(client: ClientSession, key_id: str) -> int:
    async with client.get("/_requests") as answer:
        return (await answer.json())["key_ids"][key_id]["paths"].get("/v2/orders", 0)


async def _in_forms(page: Page) -> None:
    """What was sent comes back where it is refused, and where it is taken."""
    await page.goto("/keys/new")
    await page.locator("input[name=nickname]").fill(PAYLOAD)
    await page.locator("input[name=api_key]").fill(PAYLOAD)
    await page.locator("input[name=secret_key]").fill(PAYLOAD)
    await page.get_by_role("button", name="Add account", exact=True).click()
    await expect(page.locator(".field-error").first).not_to_be_empty()
    await expect(page.locator("input[name=nickname]")).to_have_value(PAYLOAD)
    await _nothing_ran(page, "/keys/new")
    await page.goto("/you")
    await page.get_by_text("Create a token").first.click()
    await page.locator("input[name=name]").fill(PAYLOAD)
    await page.get_by_label("View accounts: cash").check()
    await page.get_by_role("button", name="Create token").click()
    await page.get_by_role("link", name=f"Revoke {PAYLOAD}").click()
    await expect(page.get_by_role("heading", name=f"Revoke “{PAYLOAD}”?")).to_be_visible()
    await _nothing_ran(page, "/you/tokens")
    await page.goto("/people")
    invited = f"x{AT_SIGN}@corral.example"
    # The browser itself would not take it for an address.
    await page.locator("input[name=email]").evaluate("(field) => (field.form.noValidate = true)")
    await page.locator("input[name=email]").fill(invited)
    await page.get_by_role("button", name="Create invite link").click()
    await expect(page.get_by_role("listitem").filter(has_text=invited)).to_be_visible()
    await _nothing_ran(page, "/people")


async def _in_addresses(page: Page, credential_id: str) -> None:
    account, said = f"/accounts/{credential_id}", quote(PAYLOAD, safe="")
    for path in [
        *(f"{account}?span={said}", f"{account}?sort={said}", f"{account}?{said}=1", f"{account}?wait={said}"),
        *(f"{account}/orders?{field}={said}" for field in ("status", "symbol", "since", "to", "direction", "cursor")),
        *(f"{account}/activities?{field}={said}" for field in ("kind", "cursor")),
        *(f"/holdings?q={said}", f"/orders?symbol={said}", f"/activity?since={said}&money={said}"),
        *(f"{account}/orders/{said}", f"{account}/positions/{said}"),
        *(f"/sign-in?next={said}", f"/sign-in?next=/keys/{said}", "/sign-in?next=javascript:ran=3"),
        *(f"/accounts/{said}", f"/keys/{said}", f"/{said}", f"/keys/{credential_id}/{said}", f"/static/{said}/{said}"),
        *(f"/?wait#{said}", f"/sign-in#corral_x{said}", f"/setup#{said}", f"/docs#{said}", f"/you#{PAYLOAD}"),
    ]:
        await page.goto("about:blank")  # or a fragment would lead nowhere
        await page.goto(path)
        await expect(page.locator("main")).to_be_visible()
        await _nothing_ran(page, path)
        if "sign-in" in path:
            await page.get_by_role("link", name="Continue").click()
            await _nothing_ran(page, path)


async def _nothing_ran(page: Page, where: str) -> None:
    """No element of the payload's is there, and no script of it ran."""
    for stranger in ("img[src=x]", "main i", "[onerror]", "script:not([src])"):
        assert await page.locator(stranger).count() == 0, (where, stranger)
    assert await page.evaluate("typeof ran") == "undefined", where
    assert "49" not in (await page.title()), where


def _answers(key_id: str) -> list[dict[str, object]]:
    order = dict.fromkeys(("id", "symbol", "side", "type", "order_class", "status", "client_order_id"), PAYLOAD)
    single = {**ORDER, **order, "id": _ORDER_ID, "legs": [{**ORDER, **order}]}
    texts = dict.fromkeys(("id", "activity_type", "activity_sub_type", "symbol", "status", "description"), PAYLOAD)
    return _account_of(
        key_id,
        _list(key_id, "/v2/orders", {**ORDER, **order, "legs": [{**ORDER, **order}]}),
        {"key_id": key_id, "path": f"/v2/orders/{_ORDER_ID}", "body_text": json.dumps(single)},
        _list(key_id, "/v2/positions", {**POSITION, "asset_id": PAYLOAD, "symbol": PAYLOAD, "side": PAYLOAD}),
        _list(key_id, "/v2/account/activities", {**FILL, "symbol": PAYLOAD, "side": PAYLOAD}, {**DIVIDEND, **texts}),
        currency=json.dumps(_CURRENCY),
        account_number=json.dumps(PAYLOAD),
        status=json.dumps(PAYLOAD),
    )


def _account_of(key_id: str, *lists: dict[str, object], **account: str) -> list[dict[str, object]]:
    return [{"key_id": key_id, "path": "/v2/account", "account_raw": {"cash": '"1"', **account}}, *lists]


def _list(key_id: str, path: str, *items: dict[str, Any]) -> dict[str, object]:
    return {"key_id": key_id, "path": path, "body_text": json.dumps(items)}
