"""The same checks on every page, in every state that looks different.

A scene is opened once, and all checks are made of it at each size, since drawing a page anew costs more than a check.
"""

import re
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.browser_session import BrowserSession, is_firefox, open_browser_session
from tests.browser.conftest import NETWORK_ERRORS
from tests.browser.page_checks import check_page, find_layout_shifts
from tests.browser.sample_app import open_sample_app
from tests.browser.scenes import SCENES, Scene
from tests.migrated_cluster import copy_migrated_cluster
from tests.web.page_paths import PAGES

_GRANT = "/accounts/{credential_id}/grants/{grant_id}"
# Data for scripts, a redirect, the settings and a grant under two more addresses each, and what asks whether to revoke
# grants as other pages do for tokens.
_NOT_SHOWN = {
    *("/closes", "/curves", "/lines", "/market", "/accounts/{credential_id}/details"),
    *(f"{_GRANT}/narrow", f"{_GRANT}/renew", f"{_GRANT}/revoke"),
    *("/accounts/{credential_id}/grants/all/revoke", "/you/grants/all/revoke"),
    *("/sign-out", "/you/display/amounts", "/you/display/zone"),
}


@pytest.fixture(scope="module")
def folder(run_dir: Path) -> Path:
    """Another one for each share of the scenes."""
    folder = Path(tempfile.mkdtemp(prefix="sample-app-", dir=run_dir))
    folder.chmod(0o711)
    return folder


@pytest.fixture(scope="module")
async def session(browser: Browser, folder: Path, migrated_cluster: Path) -> AsyncGenerator[BrowserSession]:
    await copy_migrated_cluster(migrated_cluster, folder, waits_for_the_disk=False)
    async with open_sample_app(folder) as app, open_browser_session(browser, app, has_touch=True) as session:
        yield session


@pytest.mark.parametrize("scene", SCENES, ids=str)
async def test_a_page_passes_every_check(scene: Scene, session: BrowserSession, axe: str) -> None:
    session.errors.clear()
    page = await session.open_scene(scene)
    # Only Chromium measures these.
    found = await find_layout_shifts(page) if scene.is_still and not is_firefox(page.context.browser) else []
    found += await check_page(page, axe)
    found += [error for error in session.errors if not error.startswith(NETWORK_ERRORS)]
    await page.close()
    assert not found, "\n".join(found)


async def test_the_first_tab_stop_skips_the_navigation(session: BrowserSession) -> None:
    page = await session.open_scene(Scene("settings", "/you"))
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    await page.close()


def test_every_page_has_a_scene() -> None:
    shown = [re.split(r"[?#]", scene.path)[0] for scene in SCENES]
    patterns = {page: re.sub(r"\{\w+\}", "[^/]+", page) for page in PAGES if page not in _NOT_SHOWN}
    assert [page for page, pattern in patterns.items() if not any(re.fullmatch(pattern, one) for one in shown)] == []
