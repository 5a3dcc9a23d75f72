"""Inviting, shutting out, tokens and sessions, as people do it on their pages."""

import re

from playwright.async_api import expect

from tests.browser.conftest import Browsing, is_too_wide, opened
from tests.conftest import Service
from tests.doors import sign_in_by_link
from tests.identity.members import make_administrator
from tests.people import Person

_PASSWORD = "a donkey, two staples and a lamp"


async def test_a_friend_is_invited_joins_by_the_link_and_is_shut_out(
    service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    await make_administrator(service, alice.email)
    friend = bob.email.replace("bob", "dora")
    async with browsing(alice) as office, browsing() as elsewhere:
        page = await opened(office, "/people")
        await page.get_by_label("Their e-mail address").fill(friend)
        await page.get_by_role("button", name="Make a link").click()
        link = await page.locator("#link").inner_text()
        code = link.partition("#")[2]

        joining = await opened(elsewhere, f"/invitation#{code}")
        await expect(joining).to_have_url(f"{service.url}/invitation")  # the code is out of the address
        await joining.get_by_label("Password", exact=True).fill(_PASSWORD)
        await joining.get_by_role("button", name="Join and sign in").click()
        await expect(joining.get_by_role("link", name="You", exact=True)).to_be_visible()
        await expect(joining.get_by_role("link", name="People", exact=True)).to_have_count(0)

        await page.goto("/people")
        await page.get_by_role("link", name=f"Disable {friend}").click()
        await page.get_by_role("button", name="Disable").click()
        await expect(page.get_by_role("link", name=f"Enable {friend}")).to_be_visible()
        await joining.goto("/you")
        await expect(joining.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_a_token_is_made_copied_and_gone_from_the_page(
    service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    async with browsing(alice, permissions=["clipboard-read", "clipboard-write"]) as context:
        page = await opened(context, "/you")
        await page.get_by_text("Make a token").first.click()
        await page.get_by_label("What is it for?").fill("Spreadsheet")
        await page.get_by_label("See how your accounts stand").check()
        await page.get_by_role("button", name="Make the token").click()
        token = await page.locator("#created").inner_text()
        await page.get_by_role("button", name="Copy the token").click()
        await expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert await page.evaluate("navigator.clipboard.readText()") == token
        await page.goto("/you")
        await expect(page.get_by_text("Spreadsheet").first).to_be_visible()
        await expect(page.get_by_text(re.compile("corral_"))).to_have_count(0)


async def test_a_session_ended_here_is_signed_out_there(
    service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    async with browsing(alice) as here, browsing(alice) as there:
        other = await opened(there, "/you")
        await expect(other.get_by_role("heading", name="You", exact=True)).to_be_visible()
        page = await opened(here, "/you")
        await page.get_by_role("button", name=re.compile("End the session of")).click()
        await expect(page.get_by_role("button", name=re.compile("End the session of"))).to_have_count(0)
        await other.reload()
        await expect(other.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_the_pages_of_people_fit_a_small_screen_and_need_no_script(
    service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    await make_administrator(service, alice.email)
    await sign_in_by_link(service, alice.user_id)
    small = {"width": 360, "height": 740}
    async with browsing(alice, viewport=small, java_script_enabled=False) as context:
        page = await opened(context, "/you")
        for path in ("/you", "/people", f"/people/{bob.user_id}/disable", "/invitation"):
            await page.goto(path)
            box = await page.locator("main").bounding_box()
            assert box is not None
            assert box["width"] <= small["width"], path
    async with browsing(alice, viewport=small) as context:
        page = await opened(context, "/you")
        for path in ("/you", "/people", f"/people/{bob.user_id}/disable", "/invitation"):
            await page.goto(path)
            assert not await is_too_wide(page), path
