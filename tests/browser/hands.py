"""The ways in which people work a page: with a mouse, with a thumb, with the keyboard alone."""

from typing import Protocol

from playwright.async_api import Locator

MOST_STEPS = 150  # of the Tab key: more would be a page that nobody gets through


class Hand(Protocol):
    async def press(self, control: Locator) -> None:
        """A link, a button, a box to tick."""
        ...

    async def write(self, field: Locator, text: str) -> None: ...


class Mouse:
    async def press(self, control: Locator) -> None:
        await control.click()

    async def write(self, field: Locator, text: str) -> None:
        await field.fill(text)


class Thumb:
    async def press(self, control: Locator) -> None:
        await control.tap()

    async def write(self, field: Locator, text: str) -> None:
        await field.tap()
        await field.page.keyboard.insert_text(text)


class Keyboard:
    """Nothing but Tab to get somewhere, Enter and the space bar to do something there."""

    async def press(self, control: Locator) -> None:
        await self._reach(control)
        is_box = await control.evaluate("(node) => ['checkbox', 'radio'].includes(node.type)")
        await control.page.keyboard.press("Space" if is_box else "Enter")

    async def write(self, field: Locator, text: str) -> None:
        await self._reach(field)
        await field.page.keyboard.insert_text(text)

    async def _reach(self, control: Locator) -> None:
        await control.wait_for()
        for _ in range(MOST_STEPS):
            # Of a group of choices, the arrow keys are the way from one to the next.
            if await control.evaluate("(node) => node === document.activeElement"):
                return
            await control.page.keyboard.press("Tab")
        raise AssertionError(f"the Tab key does not lead to {control}")
