"""What somebody else's page, and somebody else's link, can do in a browser in which alice is signed in: nothing."""

import re

import pytest
from playwright.async_api import Page, expect

from corral.identity.links import issue_link
from tests.access import link_code
from tests.browser.conftest import Browsing, open_page, wait_until
from tests.browser.foreign_page import FOREIGN_PATH, foreign_page
from tests.conftest import Service
from tests.people import Person

_HOSTS = ["127.0.0.1", "localhost"]


@pytest.mark.parametrize("host", _HOSTS)
async def test_a_form_from_another_origin_is_rejected(
    host: str, service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    stored = await alice.store(nickname="Long-term")
    action = f"{service.url}/keys/{stored['id']}/delete"
    form = f'<form method="post" action="{action}"><input name="nickname" value="Long-term"><button>Win</button></form>'
    async with foreign_page(form) as port, browsing(alice) as context:
        page = await open_page(context, f"http://{host}:{port}{FOREIGN_PATH}")
        await page.get_by_role("button", name="Win").click()
        await expect(page.locator("main")).to_contain_text("another origin")
        await page.wait_for_load_state()  # Firefox takes a page that is left before that for one that interrupts
        await page.goto("/")
        await expect(page.get_by_role("article", name="Long-term")).to_be_visible()


@pytest.mark.parametrize("host", _HOSTS)
async def test_a_script_from_another_origin_can_neither_change_nor_read_anything(
    host: str, service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    stored = await alice.store(nickname="Long-term")
    async with foreign_page("<p>hello</p>") as port, browsing(alice) as context:
        page = await context.new_page()
        await page.goto(f"http://{host}:{port}{FOREIGN_PATH}")
        for media_type in ("application/x-www-form-urlencoded", "text/plain"):
            await _sent(page, f"{service.url}/keys/{stored['id']}/switch-off", media_type)
        for path in ("/", "/api/overview", "/closes", f"/api/credentials/{stored['id']}/positions.csv"):
            for mode in ("cors", "no-cors"):
                assert await _sent(page, f"{service.url}{path}", None, mode) == "TypeError", (path, mode)
        async with alice.client.get(f"/api/credentials/{stored['id']}") as answer:
            assert (await answer.json())["is_active"]


async def test_pages_cannot_be_framed_or_controlled_by_an_opener(
    service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    await alice.store(nickname="Long-term")
    async with foreign_page(f'<iframe src="{service.url}/"></iframe>') as port, browsing(alice) as context:
        page = await open_page(context, f"http://127.0.0.1:{port}{FOREIGN_PATH}")
        frame = page.frames[1]
        assert frame.url.startswith(("chrome-error:", "about:neterror?e=cspBlocked"))
        assert "Long-term" not in await frame.content()
        async with context.expect_page() as opening:
            await page.evaluate("(url) => { window.ours = open(url); }", f"{service.url}/")
        ours = await opening.value
        await expect(ours.get_by_role("article", name="Long-term")).to_be_visible()
        await wait_until(page, "ours.closed")  # for the stranger: its handle leads nowhere


@pytest.mark.parametrize("host", _HOSTS)
async def test_another_page_cannot_sign_in_a_different_user(
    host: str, service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    code = await link_code(service, bob.user_id)
    form = (
        f'<form method="post" action="{service.url}/sign-in/code"><input name="token" value="{code}">'
        "<button>Win</button></form>"
    )
    async with foreign_page(form) as port:
        async with browsing(alice) as context:
            page = await open_page(context, f"http://{host}:{port}{FOREIGN_PATH}")
            await page.get_by_role("button", name="Win").click()
            await expect(page.locator("main")).to_contain_text("another origin")
            settings = await open_page(context, "/you")
            await expect(settings.locator("main")).to_contain_text(alice.email)
        async with browsing() as context:  # nobody is signed in
            page = await open_page(context, f"http://{host}:{port}{FOREIGN_PATH}")
            await page.get_by_role("button", name="Win").click()
            await expect(page.locator("main")).to_contain_text("another origin")
            assert await context.cookies() == []


async def test_alices_link_opened_by_bob_shows_his_session_and_waits_for_a_click(
    service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    await alice.store(nickname="the meadow account")
    await bob.store(nickname="the valley account")
    resources = service.resources
    link = (await issue_link(resources.database, resources.vault, "sign_in", alice.user_id, service.url)).reveal()
    async with browsing(bob) as context:
        others = await open_page(context)
        await expect(others.get_by_role("article", name="the valley account")).to_be_visible()
        page = await open_page(context, link)
        await expect(page.get_by_text(f"You're signed in as {bob.email}")).to_be_visible()
        await page.get_by_role("link", name="Continue").click()
        await expect(page.get_by_role("article", name="the valley account")).to_be_visible()
        await page.goto(link)  # the link is as good as before
        await page.get_by_role("button", name="Sign in with this link").click()
        await expect(page.get_by_role("article", name="the meadow account")).to_be_visible()
        await expect(page.get_by_role("article", name="the valley account")).to_have_count(0)
        # Bob went out of this browser when alice came in: his other tab notices by itself.
        await expect(others.get_by_role("article", name="the meadow account")).to_be_visible()
        await expect(others.get_by_role("article", name="the valley account")).to_have_count(0)


async def test_alices_pages_are_the_same_as_missing_ones_for_bob(
    browsing: Browsing, alice: Person, bob: Person
) -> None:
    stored = await alice.store(nickname="the meadow account")
    async with browsing(bob) as context:
        for path in ("/accounts/{}", "/accounts/{}/orders", "/accounts/{}/activities", "/keys/{}", "/keys/{}/delete"):
            told = [
                await _told(await open_page(context, path.format(wanted)))
                for wanted in (stored["id"], "4b0b5a2e-9a3c-4c1e-8a57-0d9c6f2f6d31")
            ]
            assert told[0] == told[1], path
            assert "Account not found" in told[0], path


async def _sent(page: Page, url: str, media_type: str | None, mode: str = "no-cors") -> str:
    """What a script of the page is told: a kind of answer, or a kind of error."""
    return await page.evaluate(
        """([url, mediaType, mode]) => fetch(url, {mode, credentials: "include", ...(mediaType ? {
             method: "POST", headers: {"content-type": mediaType}, body: "" } : {})
           }).then(({type}) => type, ({name}) => name)""",
        [url, media_type, mode],
    )


async def _told(page: Page) -> str:
    text = await page.locator("main").inner_text()
    return re.sub(r"[0-9a-f]{32}", "", text)
