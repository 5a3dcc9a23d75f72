"""Browser contexts for the scenes, one for each viewer, signed in once."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from playwright.async_api import Browser, BrowserContext, Page, ViewportSize

from tests.browser.conftest import REPORT_POLICY_VIOLATIONS, TIMEOUT_MS, sign_in
from tests.browser.sample_app import SampleApp
from tests.browser.scenes import Scene, Viewer

if TYPE_CHECKING:
    from tests.people import Person

# Lists would ask for themselves again, and change while they are measured.
_STAY_AS_SENT: Final = "XMLHttpRequest.prototype.send = () => {}"
DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 900}


@dataclass(frozen=True, slots=True)
class BrowserSession:
    app: SampleApp
    contexts: dict[Viewer, BrowserContext]
    errors: list[str]  # of scripts, and violations of the policy

    async def open_scene(self, scene: Scene) -> Page:
        page = await self.contexts[scene.viewer].new_page()
        await page.goto(scene.path.format_map(self.app.ids))
        if scene.steps:
            await scene.steps(page)
        return page


def is_firefox(browser: Browser | None) -> bool:
    return browser is not None and browser.browser_type.name == "firefox"


@asynccontextmanager
async def open_browser_session(browser: Browser, app: SampleApp, *, has_touch: bool) -> AsyncGenerator[BrowserSession]:
    people: dict[Viewer, Person | None] = {
        "administrator": app.administrator,
        "new member": app.new_member,
        "beginner": app.beginner,
        "trader": app.trader,
        "collector": app.collector,
        "unlucky": app.unlucky,
        "nobody": None,
    }
    errors: list[str] = []
    contexts: dict[Viewer, BrowserContext] = {}
    for viewer, person in people.items():
        contexts[viewer] = context = await browser.new_context(
            base_url=app.service.url, locale="en-US", viewport=DESKTOP, has_touch=has_touch
        )
        await context.add_init_script(_STAY_AS_SENT)
        context.set_default_timeout(TIMEOUT_MS)
        context.on("weberror", lambda error: errors.append(str(error.error)))
        context.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        if is_firefox(browser):  # Chromium logs them by itself
            await context.add_init_script(REPORT_POLICY_VIOLATIONS)
        if person is not None:
            await sign_in(context, app.service, person)
        await (await context.new_page()).goto("/healthz")  # keeps one process for the pages that come and go
    yield BrowserSession(app, contexts, errors)
    for context in contexts.values():
        await context.close()
