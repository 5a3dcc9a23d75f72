"""Checks that every page passes, at the sizes at which it may break."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Page, ViewportSize

from tests.browser.browser_session import DESKTOP, is_firefox

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_TOPS = "nodes => nodes.map((node) => node.getBoundingClientRect().top)"
_MOST_LAYOUT_SHIFT: Final = 0.1
# `getEntriesByType` has no layout shifts; only a buffered observer gets those from before.
_LAYOUT_SHIFTS: Final = """new Promise((resolve) => {
  const name = ({ node }) => `${node?.nodeName} ${node?.className ?? node?.data}`;
  const found = [];
  new PerformanceObserver((list) => {
    for (const { hadRecentInput, value, sources } of list.getEntries())
      if (!hadRecentInput) found.push({ value, moved: sources.map(name) });
  }).observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => setTimeout(() => resolve(found), 50));
})"""
# Firefox 153 ends a page whose script reads one of these again after a garbage collection: it writes to a null
# pointer. axe-core takes the attributes, as in browsers that do not have these properties.
_WITHOUT_ARIA_ELEMENTS: Final = """
for (const name of Object.getOwnPropertyNames(Element.prototype))
  if (/^aria.+Elements$/.test(name)) delete Element.prototype[name];"""
# Not waited for: Firefox may hold back the transitions of a page that is not in front.
_END_TRANSITIONS: Final = """document.getAnimations()
  .filter((one) => one instanceof CSSTransition).forEach((one) => one.finish())"""
_TABLES_BEYOND: Final = """[...document.querySelectorAll(":is(.card, .panel, section) table")]
  .filter((table) => table.checkVisibility())
  .map((table) => {
    const around = table.closest(".card, .panel, section");
    const beyond = table.getBoundingClientRect().right - around.getBoundingClientRect().right;
    return { beyond, what: around.querySelector("h2")?.textContent ?? table.className };
  }).filter(({ beyond }) => beyond > 0).map(({ beyond, what }) => `${what}: ${beyond} pixels`)"""
_ROWS_BEYOND_TWO_LINES: Final = """[...document.querySelectorAll(".dense tbody tr:not(.long-numbers)")]
  .map((row) => ({ height: row.getBoundingClientRect().height, what: row.innerText.replace(/\\s+/g, " ") }))
  .filter(({ height }) => height > 64).map(({ height, what }) => `${what}: ${height} pixels`)"""
_PHONE: Final[ViewportSize] = {"width": 360, "height": 740}
_ZOOMED_TWICE: Final[ViewportSize] = {"width": 640, "height": 512}  # 1280 pixels at 200 %
_ZOOMED_FOUR_TIMES: Final[ViewportSize] = {"width": 320, "height": 512}  # at 400 %
# Just above where a list loses columns, it is at its tightest.
_TABLETS: Final[list[ViewportSize]] = [{"width": width, "height": 1000} for width in (768, 900, 960, 1024)]


async def check_page(page: Page, axe: str) -> list[str]:
    """Returns what was found. `axe` is the source of axe-core."""
    await page.evaluate((Path(__file__).parent / "measures.js").read_text())
    if is_firefox(page.context.browser):
        await page.evaluate(f"(() => {{{_WITHOUT_ARIA_ELEMENTS}}})()")
    await page.evaluate(axe)
    found: list[str] = []
    for size, checks in _CHECKS_IN_FIREFOX if is_firefox(page.context.browser) else _CHECKS:
        await page.set_viewport_size(size)
        for check in checks:
            found += [f"{check.__name__} at {size['width']} pixels: {finding}" for finding in await check(page)]
    return found


async def find_layout_shifts(page: Page) -> list[str]:
    """Returns what has moved since the page began to load, if that is more than a little (Core Web Vitals, CLS)."""
    shifts: list[dict[str, Any]] = await page.evaluate(_LAYOUT_SHIFTS)
    total = sum(shift["value"] for shift in shifts)
    return [f"moved: {shift}" for shift in shifts] if total > _MOST_LAYOUT_SHIFT else []


async def _axe_in_light(page: Page) -> Iterable[str]:
    # Without motion, no color is in transition.
    await page.emulate_media(color_scheme="light", reduced_motion="reduce")
    return await _axe(page)


async def _axe_in_dark(page: Page) -> Iterable[str]:
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    return await _axe(page)


async def _axe_in_dark_theme(page: Page) -> Iterable[str]:
    await page.evaluate("document.documentElement.dataset.theme = 'dark'")
    await page.evaluate(_END_TRANSITIONS)
    return await _axe(page)


async def _axe(page: Page) -> list[str]:
    options = {"runOnly": _RULES, "resultTypes": ["violations"]}
    return _describe((await page.evaluate("options => axe.run(options)", options))["violations"])


async def _navigation_of_one_line(page: Page) -> Iterable[str]:
    lines: list[float] = await page.locator(".masthead :is(a, button, summary):visible").evaluate_all(_TOPS)
    return [] if len(set(lines)) == 1 else [f"it begins at {lines}"]


async def _targets_large_enough_to_touch(page: Page) -> Iterable[str]:
    return await page.evaluate("measures.smallTargets(44)")


async def _tables_within_their_cards(page: Page) -> Iterable[str]:
    return await page.evaluate(_TABLES_BEYOND)


async def _rows_of_two_lines(page: Page) -> Iterable[str]:
    return await page.evaluate(_ROWS_BEYOND_TWO_LINES)


async def _nothing_cut_off(page: Page) -> Iterable[str]:
    """The window has just got another width, which a chart follows a frame later, or more on a busy machine."""
    found: list[str] = await page.evaluate("measures.cutOff()")
    for _ in range(100):
        if not found:
            break
        await asyncio.sleep(0.1)
        found = await page.evaluate("measures.cutOff()")
    return found


async def _nothing_cut_off_with_wider_text_spacing(page: Page) -> Iterable[str]:
    """WCAG 1.4.12."""
    await page.evaluate("measures.space()")
    found: list[str] = await page.evaluate("measures.cutOff()")
    await page.evaluate("measures.unspace()")
    return found


async def _nothing_that_moves_with_reduced_motion(page: Page) -> Iterable[str]:
    await page.emulate_media(reduced_motion="reduce")
    return await page.evaluate("measures.moving()")


async def _paper_live_and_focus_without_colors(page: Page) -> Iterable[str]:
    await page.emulate_media(forced_colors="active")
    found: list[str] = await page.evaluate("measures.unmarked()")
    await page.keyboard.press("Tab")
    focus = await page.evaluate("measures.focused()")
    await page.emulate_media(forced_colors="none")
    return found if focus is None or focus["isOutlined"] else [*found, f"no outline: {focus}"]


async def _tab_order_as_reading_order(page: Page) -> Iterable[str]:
    found: list[str] = await page.evaluate("measures.reordered()")
    expected: list[str] = await page.evaluate("measures.reachables()")
    reached = await _tab_stops(page, len(expected))
    begin = reached.index(expected[0])
    in_order = reached[begin:] + reached[:begin]
    return found if in_order == expected else [*found, f"{in_order}, not {expected}"]


_Checks = list[tuple[ViewportSize, list[Callable[[Page], Awaitable[Iterable[str]]]]]]
# What moves the focus comes last: a skip link that has it lies over others.
_CHECKS: Final[_Checks] = [
    (
        _PHONE,
        [
            _axe_in_light,
            _navigation_of_one_line,
            _targets_large_enough_to_touch,
            _rows_of_two_lines,
            _nothing_cut_off_with_wider_text_spacing,
        ],
    ),
    (_ZOOMED_FOUR_TIMES, [_nothing_cut_off]),
    (_ZOOMED_TWICE, [_nothing_cut_off, _navigation_of_one_line]),
    *((tablet, [_tables_within_their_cards]) for tablet in _TABLETS),
    (
        DESKTOP,
        [
            _axe_in_dark,
            _nothing_cut_off_with_wider_text_spacing,
            _nothing_that_moves_with_reduced_motion,
            _paper_live_and_focus_without_colors,
            _tab_order_as_reading_order,
        ],
    ),
]

# There, nothing emulates a touch screen, the system's colors, or a window that has the focus.
_CHECKS_IN_FIREFOX: Final[_Checks] = [
    (_PHONE, [_axe, _navigation_of_one_line, _nothing_cut_off_with_wider_text_spacing]),
    (_ZOOMED_FOUR_TIMES, [_nothing_cut_off]),
    (_ZOOMED_TWICE, [_nothing_cut_off, _navigation_of_one_line]),
    (
        DESKTOP,
        [
            _axe_in_dark_theme,
            _nothing_cut_off_with_wider_text_spacing,
        ],
    ),
]


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
