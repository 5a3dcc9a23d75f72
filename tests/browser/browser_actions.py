"""Input methods: mouse, touch, and keyboard only."""

from typing import Protocol

from playwright.async_api import Locator

MAX_TAB_PRESSES = 150


class InputMethod(Protocol):
    async def press(self, control: Locator) -> None:
        """Activates a link, a button or a checkbox."""
        ...

    async def write(self, field: Locator, text: str) -> None: ...


class Mouse:
    async def press(self, control: Locator) -> None:
        await control.click()

    async def write(self, field: Locator, text: str) -> None:
        await field.fill(text)


class Touch:
    async def press(self, control: Locator) -> None:
        await control.tap()

    async def write(self, field: Locator, text: str) -> None:
        await field.tap()
        await field.page.keyboard.insert_text(text)


class Keyboard:
    """Tab to move, Enter and Space to activate."""

    async def press(self, control: Locator) -> None:
        await self._reach(control)
        is_box = await control.evaluate("(node) => ['checkbox', 'radio'].includes(node.type)")
        await control.page.keyboard.press("Space" if is_box else "Enter")

    async def write(self, field: Locator, text: str) -> None:
        await self._reach(field)
        await field.page.keyboard.insert_text(text)

    async def _reach(self, control: Locator) -> None:
        await control.wait_for()
        for _ in range(MAX_TAB_PRESSES):
            # Within a group of radio buttons, the arrow keys move.
            if await control.evaluate("(node) => node === document.activeElement"):
                return
            await control.page.keyboard.press("Tab")
        raise AssertionError(f"the Tab key does not lead to {control}")
