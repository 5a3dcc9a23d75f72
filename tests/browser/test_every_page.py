"""Every page, in every state in which it looks different, before the same judges."""

import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.browser.scenes import SCENES, Scene
from tests.browser.stage import DESK, Stage, open_stage
from tests.browser.world import open_world
from tests.machine import AXE, AXE_FILE
from tests.web.addresses import PAGES

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_NOT_SHOWN = {"/closes", "/lines", "/accounts/{credential_id}/details", "/sign-out"}  # for scripts; leads on
_OF_COLOURS = ["color-contrast", "link-in-text-block"]  # all that the dark may judge otherwise than the light
_LOOKS: Final[list[tuple[Literal["light", "dark"], list[str]]]] = [("light", _RULES), ("dark", _OF_COLOURS)]
_TOPS = "nodes => nodes.map((node) => node.getBoundingClientRect().top)"
_PHONE: Final[ViewportSize] = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
async def stage(browser: Browser, run_dir: Path) -> AsyncGenerator[Stage]:
    folder = run_dir / "world"
    folder.mkdir(mode=0o711)
    async with open_world(folder) as world, open_stage(browser, world, has_touch=True) as stage:
        yield stage


@pytest.fixture(scope="module", params=SCENES, ids=str)
async def page(request: pytest.FixtureRequest, stage: Stage) -> AsyncGenerator[Page]:
    """A scene, shown once for all the tests of it."""
    scene: Scene = request.param
    stage.complaints.clear()
    page = await stage.show(scene)
    await page.evaluate((Path(__file__).parent / "measures.js").read_text())
    yield page
    await page.close()


@pytest.fixture(scope="session")
def axe() -> str:
    return AXE_FILE.read_text(encoding="utf-8") if AXE.is_here else AXE.lacks()


async def test_axe_finds_nothing(page: Page, axe: str) -> None:
    await page.evaluate(axe)
    for size in (_PHONE, DESK):
        await page.set_viewport_size(size)
        for scheme, rules in _LOOKS:
            # Without motion, no colour is on its way to another.
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            options = {"runOnly": rules, "resultTypes": ["violations"]}
            found = await page.evaluate("options => axe.run(options)", options)
            assert _told(found["violations"]) == [], (size, scheme)


async def test_the_navigation_takes_one_line_on_a_phone(page: Page) -> None:
    await page.set_viewport_size(_PHONE)
    lines = await page.locator(".masthead :is(a, button)").evaluate_all(_TOPS)
    assert len(set(lines)) == 1


async def test_everything_can_be_pressed_with_a_thumb(page: Page) -> None:
    await page.set_viewport_size(_PHONE)
    assert not (small := await page.evaluate("measures.smallTargets(44)")), "\n".join(small)


@pytest.mark.parametrize("width", [640, 320])  # a desk of 1280 pixels, twice and four times as large
async def test_nothing_is_cut_off_when_it_is_enlarged(page: Page, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 512})
    assert not (found := await page.evaluate("measures.cutOff()")), "\n".join(found)


async def test_nothing_is_cut_off_when_its_text_is_spaced(page: Page) -> None:
    """As WCAG 1.4.12 has it."""
    await page.evaluate("measures.space()")
    for size in (_PHONE, DESK):
        await page.set_viewport_size(size)
        assert not (found := await page.evaluate("measures.cutOff()")), "\n".join(found)
    await page.evaluate("measures.unspace()")


async def test_nothing_moves_for_those_who_do_not_like_it(page: Page) -> None:
    await page.emulate_media(reduced_motion="reduce")
    assert not (found := await page.evaluate("measures.moving()")), "\n".join(found)


async def test_paper_live_and_the_focus_need_no_colour(page: Page) -> None:
    await page.emulate_media(forced_colors="active")
    assert not (found := await page.evaluate("measures.unmarked()")), "\n".join(found)
    await page.keyboard.press("Tab")
    focus = await page.evaluate("measures.focused()")
    assert focus is None or focus["isOutlined"], focus


async def test_the_keyboard_reaches_everything_in_the_order_in_which_it_is_read(page: Page) -> None:
    await page.set_viewport_size(DESK)
    await page.emulate_media(forced_colors="none")
    assert not (found := await page.evaluate("measures.reordered()")), "\n".join(found)
    expected: list[str] = await page.evaluate("measures.reachables()")
    reached = await _tab_round(page, len(expected))
    begin = reached.index(expected[0])
    assert reached[begin:] + reached[:begin] == expected


async def test_no_script_fails_and_the_policy_refuses_nothing(page: Page, stage: Stage) -> None:
    # Chromium itself writes a line for each answer that is an error, or that was cut off.
    assert [told for told in stage.complaints if not told.startswith("Failed to load resource")] == [], page.url


async def _tab_round(page: Page, stops: int) -> list[str]:
    """What has the focus, once round, and by which way its outline is seen."""
    reached: list[str] = []
    while len(reached) <= 2 * stops + 4:
        await page.keyboard.press("Tab")
        focus = await page.evaluate("measures.focused()")
        if focus is None or (reached and focus["mark"] == reached[-1]):  # past the end; a part of the same field
            continue
        assert focus["isOutlined"], focus
        assert focus["isInSight"], focus
        if focus["mark"] in reached:
            return reached[reached.index(focus["mark"]) :]
        reached.append(focus["mark"])
    pytest.fail(f"never round: {reached}")


def _told(findings: list[dict[str, Any]]) -> list[str]:
    return [
        f"{finding['id']}: {node['target']}: {node['html'][:120]} {' '.join((node['failureSummary'] or '').split())} "
        + " ".join(one["message"] for one in node["any"] + node["all"] + node["none"])
        for finding in findings
        for node in finding["nodes"]
    ]


async def test_the_first_stop_leads_past_the_navigation(stage: Stage) -> None:
    page = await stage.show(Scene("you", "/you"))
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    await page.close()


def test_every_page_is_among_the_scenes() -> None:
    shown = [re.split(r"[?#]", scene.path)[0] for scene in SCENES]
    patterns = {page: re.sub(r"\{\w+\}", "[^/]+", page) for page in PAGES if page not in _NOT_SHOWN}
    assert [page for page, pattern in patterns.items() if not any(re.fullmatch(pattern, one) for one in shown)] == []
