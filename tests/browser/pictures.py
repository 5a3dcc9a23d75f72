"""`make pictures`: takes the README's pictures, and one of every scene to look at after a change of the pages."""

import asyncio
import re
import sys
import tempfile
from pathlib import Path
from typing import Final, Literal

from playwright.async_api import Browser, ViewportSize, async_playwright, expect

from tests.browser.browser_session import BrowserSession, open_browser_session
from tests.browser.conftest import TIMEOUT_MS, sign_in
from tests.browser.sample_app import SampleApp, open_sample_app
from tests.browser.scenes import SCENES, Scene
from tests.machine import browser_program
from tests.people import make_person

_README: Final = Path(__file__).parents[2] / "docs" / "pictures"
_SIZES: Final[list[ViewportSize]] = [
    {"width": 360, "height": 800},
    {"width": 1280, "height": 900},
    {"width": 2560, "height": 1440},
]
_SCHEMES: Final[list[Literal["light", "dark"]]] = ["light", "dark"]


async def take_pictures(folder: Path, scenes: list[Scene]) -> None:
    expect.set_options(timeout=TIMEOUT_MS)
    async with async_playwright() as playwright, open_sample_app(folder) as app:
        browser = await playwright.chromium.launch(executable_path=browser_program(), args=["--no-sandbox"])
        await _take_readme_pictures(browser, app)
        async with open_browser_session(browser, app, has_touch=False) as session:
            for scene in scenes:
                await _take(session, scene, folder / "pictures")
        await browser.close()


async def _take_readme_pictures(browser: Browser, app: SampleApp) -> None:
    async with make_person(app.service, "reader") as person:
        await person.store("PKSANDBOXDEMO13", "Swing trading")
        live = await person.store("AKSANDBOXDEMO1", "Long-term")
        await person.store("AKSANDBOXDEMO2", "Retirement")
        context = await browser.new_context(base_url=app.service.url, locale="en-US")
        await sign_in(context, app.service, person)
        page = await context.new_page()
        await page.set_viewport_size({"width": 1280, "height": 1160})
        await page.goto("/?wait&span=1M")
        await expect(page.locator("[data-change]").last).to_contain_text("%")
        await expect(page.locator("[data-plot] canvas")).to_be_visible()
        await page.screenshot(path=_README / "accounts.png", animations="disabled")
        await page.set_viewport_size({"width": 1080, "height": 1000})
        await page.emulate_media(color_scheme="dark")
        await page.goto(f"/accounts/{live['id']}?wait=true")
        await expect(page.locator("[data-plot] canvas")).to_be_visible()
        await page.screenshot(path=_README / "account.png", animations="disabled")
        await context.close()


async def _take(session: BrowserSession, scene: Scene, folder: Path) -> None:
    page = await session.open_scene(scene)
    for size in _SIZES:
        await page.set_viewport_size(size)
        for scheme in _SCHEMES:
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            name = f"{re.sub(r'[^a-z]+', '-', scene.name.lower())}.{size['width']}.{scheme}.png"
            await page.screenshot(path=folder / name, full_page=True)
    await page.close()


def main(*parts: str) -> None:
    """With `parts` only the scenes whose names contain one of them."""
    folder = Path(tempfile.mkdtemp(prefix="corral-pictures-"))
    folder.chmod(0o711)
    asyncio.run(take_pictures(folder, [one for one in SCENES if not parts or any(part in one.name for part in parts)]))
    sys.stderr.write(f"Look at {folder / 'pictures'}, and at {_README}.\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
