"""A grant in a browser, from its creation to its end."""

import asyncio
import re

from playwright.async_api import expect

from tests.browser.conftest import Browsing, open_page
from tests.conftest import Service
from tests.people import Person


async def _run(line: str) -> str:
    """What a shell prints for the line."""
    program = await asyncio.create_subprocess_exec("sh", "-c", line, stdout=asyncio.subprocess.PIPE)
    output, _ = await program.communicate()
    return output.decode()


async def test_a_grant_is_created_copied_used_and_revoked(
    service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    account = await alice.store(nickname="Growth")
    async with browsing(alice, permissions=["clipboard-read", "clipboard-write"]) as context:
        page = await open_page(context, f"/accounts/{account['id']}?wait=true")
        await page.get_by_role("link", name="Grants", exact=True).click()
        await page.get_by_label("Name").fill("My bot")
        await page.get_by_role("button", name="Create grant").click()
        await page.get_by_role("button", name="Copy curl").click()
        await expect(page.get_by_text("Copied")).to_be_visible()
        line = await page.evaluate("navigator.clipboard.readText()")
        assert '"buying_power"' in await _run(line)
        await page.reload()
        await expect(page.get_by_role("link", name="My bot", exact=True)).to_be_visible()
        await expect(page.get_by_text(re.compile("corral_grant_"))).to_have_count(0)
        await page.get_by_role("link", name="Revoke My bot").click()
        await page.get_by_role("button", name="Revoke").click()
        await expect(page.get_by_text("Grant revoked.")).to_be_visible()
        assert '"buying_power"' not in await _run(line)
        await page.get_by_role("link", name="Audit trail").click()
        await expect(page.get_by_text("Grant revoked by you: My bot")).to_be_visible()
