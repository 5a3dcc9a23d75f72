"""Inviting and disabling members, API tokens and sessions in a browser."""

import re

from playwright.async_api import expect

from tests.access import sign_in_by_link
from tests.browser.conftest import Browsing, is_too_wide, open_page
from tests.conftest import Service
from tests.identity.members import make_administrator
from tests.people import Person

_PASSWORD = "a donkey, two staples and a lamp"


async def test_a_member_is_invited_joins_and_is_disabled(
    service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    await make_administrator(service, alice.email)
    friend = bob.email.replace("bob", "dora")
    async with browsing(alice) as office, browsing() as elsewhere:
        page = await open_page(office, "/people")
        await page.get_by_label("Email").fill(friend)
        await page.get_by_role("button", name="Create invite link").click()
        link = await page.locator("#link").inner_text()
        code = link.partition("#")[2]

        joining = await open_page(elsewhere, f"/invitation#{code}")
        await expect(joining).to_have_url(f"{service.url}/invitation")  # the code is no longer in the URL
        await joining.get_by_label("Password", exact=True).fill(_PASSWORD)
        await joining.get_by_role("button", name="Join and sign in").click()
        await expect(joining.get_by_role("link", name="Settings", exact=True)).to_be_visible()
        await expect(joining.get_by_role("link", name="Members", exact=True)).to_have_count(0)

        await page.goto("/people")
        await page.get_by_role("link", name=f"Disable {friend}").click()
        await page.get_by_role("button", name="Disable").click()
        await expect(page.get_by_role("link", name=f"Enable {friend}")).to_be_visible()
        await joining.goto("/you")
        await expect(joining.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_a_token_is_created_copied_and_no_longer_shown(
    service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    async with browsing(alice, permissions=["clipboard-read", "clipboard-write"]) as context:
        page = await open_page(context, "/you")
        await page.get_by_text("Create a token").first.click()
        await page.get_by_label("Name").fill("Spreadsheet")
        await page.get_by_label("View accounts").check()
        await page.get_by_role("button", name="Create token").click()
        token = await page.locator("#created").inner_text()
        await page.get_by_role("button", name="Copy token").click()
        await expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert await page.evaluate("navigator.clipboard.readText()") == token
        await page.goto("/you")
        await expect(page.get_by_text("Spreadsheet").first).to_be_visible()
        await expect(page.get_by_text(re.compile("corral_"))).to_have_count(0)


async def test_signing_out_a_device_affects_its_browser(
    service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    async with browsing(alice) as here, browsing(alice) as there:
        other = await open_page(there, "/you")
        await expect(other.get_by_role("heading", name="Settings", exact=True)).to_be_visible()
        page = await open_page(here, "/you")
        await page.get_by_role("button", name=re.compile("^Sign out Python")).click()
        await expect(page.get_by_role("button", name=re.compile("^Sign out Python"))).to_have_count(0)
        await other.reload()
        await expect(other.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_member_pages_fit_a_phone_and_work_without_javascript(
    service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    await make_administrator(service, alice.email)
    await sign_in_by_link(service, alice.user_id)
    small = {"width": 360, "height": 740}
    async with browsing(alice, viewport=small, java_script_enabled=False) as context:
        page = await open_page(context, "/you")
        for path in ("/you", "/people", f"/people/{bob.user_id}/disable", "/invitation"):
            await page.goto(path)
            box = await page.locator("main").bounding_box()
            assert box is not None
            assert box["width"] <= small["width"], path
    async with browsing(alice, viewport=small) as context:
        page = await open_page(context, "/you")
        for path in ("/you", "/people", f"/people/{bob.user_id}/disable", "/invitation"):
            await page.goto(path)
            assert not await is_too_wide(page), path
