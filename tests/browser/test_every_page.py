"""The same checks on every page, in every state that looks different."""

import re
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.browser.browser_session import DESKTOP, BrowserSession, open_browser_session
from tests.browser.sample_app import open_sample_app
from tests.browser.scenes import SCENES, Scene
from tests.machine import AXE, AXE_FILE
from tests.web.page_paths import PAGES

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_NOT_SHOWN = {"/closes", "/lines", "/accounts/{credential_id}/details", "/sign-out"}  # data for scripts; a redirect
_COLOR_RULES = ["color-contrast", "link-in-text-block"]  # the only rules that depend on the color scheme
_SCHEMES: Final[list[tuple[Literal["light", "dark"], list[str]]]] = [("light", _RULES), ("dark", _COLOR_RULES)]
_TOPS = "nodes => nodes.map((node) => node.getBoundingClientRect().top)"
_PHONE: Final[ViewportSize] = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def folder(run_dir: Path) -> Path:
    """Another one for each share of the scenes."""
    folder = Path(tempfile.mkdtemp(prefix="sample-app-", dir=run_dir))
    folder.chmod(0o711)
    return folder


@pytest.fixture(scope="module")
async def session(browser: Browser, folder: Path) -> AsyncGenerator[BrowserSession]:
    async with open_sample_app(folder) as app, open_browser_session(browser, app, has_touch=True) as session:
        yield session


@pytest.fixture(scope="module", params=SCENES, ids=str)
async def page(request: pytest.FixtureRequest, session: BrowserSession) -> AsyncGenerator[Page]:
    """A scene, opened once for all of its tests."""
    scene: Scene = request.param
    session.errors.clear()
    page = await session.open_scene(scene)
    await page.evaluate((Path(__file__).parent / "measures.js").read_text())
    yield page
    await page.close()


@pytest.fixture(scope="session")
def axe() -> str:
    return AXE_FILE.read_text(encoding="utf-8") if AXE.is_here else AXE.lacks()


async def test_axe_finds_no_violations(page: Page, axe: str) -> None:
    await page.evaluate(axe)
    for size in (_PHONE, DESKTOP):
        await page.set_viewport_size(size)
        for scheme, rules in _SCHEMES:
            # Without motion, no color is in transition.
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            options = {"runOnly": rules, "resultTypes": ["violations"]}
            found = await page.evaluate("options => axe.run(options)", options)
            assert _describe(found["violations"]) == [], (size, scheme)


async def test_the_navigation_fits_one_line_on_a_phone(page: Page) -> None:
    await page.set_viewport_size(_PHONE)
    lines = await page.locator(".masthead :is(a, button)").evaluate_all(_TOPS)
    assert len(set(lines)) == 1


async def test_touch_targets_are_large_enough(page: Page) -> None:
    await page.set_viewport_size(_PHONE)
    assert not (small := await page.evaluate("measures.smallTargets(44)")), "\n".join(small)


@pytest.mark.parametrize("width", [640, 320])  # 1280 pixels at 200 % and 400 % zoom
async def test_nothing_is_cut_off_when_zoomed(page: Page, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 512})
    assert not (found := await page.evaluate("measures.cutOff()")), "\n".join(found)


async def test_nothing_is_cut_off_with_wider_text_spacing(page: Page) -> None:
    """WCAG 1.4.12."""
    await page.evaluate("measures.space()")
    for size in (_PHONE, DESKTOP):
        await page.set_viewport_size(size)
        assert not (found := await page.evaluate("measures.cutOff()")), "\n".join(found)
    await page.evaluate("measures.unspace()")


async def test_nothing_moves_with_reduced_motion(page: Page) -> None:
    await page.emulate_media(reduced_motion="reduce")
    assert not (found := await page.evaluate("measures.moving()")), "\n".join(found)


async def test_paper_live_and_focus_do_not_depend_on_color(page: Page) -> None:
    await page.emulate_media(forced_colors="active")
    assert not (found := await page.evaluate("measures.unmarked()")), "\n".join(found)
    await page.keyboard.press("Tab")
    focus = await page.evaluate("measures.focused()")
    assert focus is None or focus["isOutlined"], focus


async def test_the_tab_order_is_the_reading_order(page: Page) -> None:
    await page.set_viewport_size(DESKTOP)
    await page.emulate_media(forced_colors="none")
    assert not (found := await page.evaluate("measures.reordered()")), "\n".join(found)
    expected: list[str] = await page.evaluate("measures.reachables()")
    reached = await _tab_stops(page, len(expected))
    begin = reached.index(expected[0])
    assert reached[begin:] + reached[:begin] == expected


async def test_no_script_errors_and_no_policy_violations(page: Page, session: BrowserSession) -> None:
    # Chromium logs a line for each response that is an error or was interrupted.
    assert [error for error in session.errors if not error.startswith("Failed to load resource")] == [], page.url


async def _tab_stops(page: Page, stops: int) -> list[str]:
    """Returns what gets the focus, once around the page, and checks its outline."""
    reached: list[str] = []
    while len(reached) <= 2 * stops + 4:
        await page.keyboard.press("Tab")
        focus = await page.evaluate("measures.focused()")
        if focus is None or (reached and focus["mark"] == reached[-1]):  # past the end, or a part of the same field
            continue
        assert focus["isOutlined"], focus
        assert focus["isInSight"], focus
        if focus["mark"] in reached:
            return reached[reached.index(focus["mark"]) :]
        reached.append(focus["mark"])
    pytest.fail(f"no end of the tab order: {reached}")


def _describe(findings: list[dict[str, Any]]) -> list[str]:
    return [
        f"{finding['id']}: {node['target']}: {node['html'][:120]} {' '.join((node['failureSummary'] or '').split())} "
        + " ".join(one["message"] for one in node["any"] + node["all"] + node["none"])
        for finding in findings
        for node in finding["nodes"]
    ]


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
