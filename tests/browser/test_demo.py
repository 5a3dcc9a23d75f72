"""The link that `corral demo` prints, in a browser."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from playwright.async_api import expect

from tests.browser.conftest import Browsing, open_page
from tests.journeys.program import free_port, running

_MOVED = [{"path": "/v2/account", "account_raw": {"equity": '"48151623.42"'}}]
_AWAY = [{"status": 503}]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Accessible to the database's own user, for tests that run as root."""
    path = Path(tempfile.mkdtemp(prefix="corral-demo-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.mark.usefixtures("chart")
async def test_the_demo_in_a_browser(browsing: Browsing, folder: Path) -> None:
    """Figures update, an outage begins and ends, all without a reload, and the page says that it is a sandbox."""
    broker_port = free_port()
    ports = ("--port", str(free_port()), "--sandbox-port", str(broker_port))
    async with running("demo", "--data-dir", folder / "demo", *ports) as demo:
        link = await demo.says(r"(http\S+/sign-in#\S+)")
        url = await demo.url()
        async with browsing(base_url=url) as context, ClientSession(f"http://127.0.0.1:{broker_port}") as broker:
            page = await open_page(context, link)
            await page.get_by_role("button", name="Sign in with this link").click()
            cards = page.get_by_role("article")
            await expect(cards).to_have_count(2)
            await expect(page.get_by_text("SANDBOX: no real money")).to_be_visible()
            for card in await cards.all():
                await expect(card.locator("[data-figure=equity]")).to_contain_text("$")
                await expect(card.locator("svg").first).to_be_visible()
            await page.evaluate("window.wasHere = true")

            async with broker.put("/_faults", json={"faults": _MOVED}):
                for card in await cards.all():
                    await expect(card.locator("[data-figure=equity]")).to_have_text("$48,151,623.42")
            async with broker.put("/_faults", json={"faults": _AWAY}):
                await expect(page.get_by_text("No update since")).to_have_count(2)
                await expect(cards.first.locator("[data-figure=equity]")).to_have_text("$48,151,623.42")
            async with broker.delete("/_faults"):
                await expect(page.get_by_text("No update since")).to_have_count(0)
                await expect(cards.first.locator("[data-figure=equity]")).not_to_have_text("$48,151,623.42")
            assert await page.evaluate("window.wasHere")

            await cards.first.get_by_role("link", name="SANDBOX paper account", exact=True).click()
            await expect(page.locator("[data-plot] canvas")).to_be_visible()
            assert (await page.title()).startswith("SANDBOX")
        assert await demo.stop() == 0
