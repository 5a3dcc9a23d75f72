"""Where scenes are shown: a browser for each kind of visitor, signed in once."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from playwright.async_api import Browser, BrowserContext, Page, ViewportSize

from tests.browser.conftest import PATIENCE_MS, sign_in
from tests.browser.scenes import Scene, Who
from tests.browser.world import World

if TYPE_CHECKING:
    from tests.people import Person

DESK: Final[ViewportSize] = {"width": 1280, "height": 900}


@dataclass(frozen=True, slots=True)
class Stage:
    world: World
    contexts: dict[Who, BrowserContext]
    complaints: list[str]  # of scripts that failed, and of the policy that refused something

    async def show(self, scene: Scene) -> Page:
        page = await self.contexts[scene.who].new_page()
        await page.goto(scene.path.format_map(self.world.ids))
        if scene.steps:
            await scene.steps(page)
        return page


@asynccontextmanager
async def open_stage(browser: Browser, world: World, *, has_touch: bool) -> AsyncGenerator[Stage]:
    people: dict[Who, Person | None] = {"keeper": world.keeper, "newcomer": world.newcomer, "nobody": None}
    complaints: list[str] = []
    contexts: dict[Who, BrowserContext] = {}
    for who, person in people.items():
        contexts[who] = context = await browser.new_context(
            base_url=world.service.url, locale="en-US", viewport=DESK, has_touch=has_touch
        )
        context.set_default_timeout(PATIENCE_MS)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        if person is not None:
            await sign_in(context, world.service, person)
    yield Stage(world, contexts, complaints)
    for context in contexts.values():
        await context.close()
