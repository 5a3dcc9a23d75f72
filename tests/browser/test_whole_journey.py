"""A new user's whole journey: from the first start of a real process to the second sign-in."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import ClientSession
from playwright.async_api import Locator, Page, expect

from corral_sandbox import Sandbox, secret_of
from tests.browser.browser_actions import InputMethod, Keyboard, Mouse, Touch
from tests.browser.conftest import Browsing, is_too_wide
from tests.conftest import Faults
from tests.journeys.program import Running, free_port, running
from tests.people import paper_key

_EMAIL: Final = "first@corral.example"
_PASSWORD, _NEW_PASSWORD = "quiet meadow at dusk", "louder meadow at dawn"
_TOKEN: Final = re.compile(r"corral_[0-9A-Za-z]{38}")
_PHONE: Final = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A user with one page and one input method."""

    page: Page
    input_method: InputMethod
    has_script: bool

    async def press(self, role: Any, name: str | re.Pattern[str]) -> None:  # noqa: ANN401 - Playwright's list of roles
        await self.input_method.press(self.page.get_by_role(role, name=name, exact=isinstance(name, str)))

    async def press_in_navigation(self, role: Any, name: str) -> None:  # noqa: ANN401 - Playwright's list of roles
        """On a phone, what does not fit is in a menu."""
        more = self.page.locator("[data-menu] summary")
        navigation = self.page.get_by_role("navigation", name="Corral")
        control = navigation.get_by_role(role, name=name, exact=True)
        if not await control.is_visible():
            await self.input_method.press(more)
        await self.input_method.press(control)

    async def applies_filters(self) -> None:
        """On a phone, they are in a sheet behind a button."""
        if isinstance(self.input_method, Touch):
            await self.press("button", "Filters")
        await self.press("button", "Apply")

    async def write(self, **texts: str) -> None:
        for name, text in texts.items():
            await self.input_method.write(self.page.locator(f"input[name={name}]:visible"), text)

    async def sees(self, heading: str) -> None:
        await expect(self.page.get_by_role("heading", name=heading, exact=True).first).to_be_visible()
        assert not await is_too_wide(self.page), heading

    async def finds(self, what: Locator) -> None:
        """Where Alpaca is slow, a page without JavaScript has a link to reload."""
        if not self.has_script:
            reload = self.page.get_by_role("link", name="Reload").first
            await expect(what.or_(reload).first).to_be_visible()
            if await reload.is_visible():
                await self.input_method.press(reload)
        await expect(what).to_be_visible()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Empty, and accessible to the database's own user, for tests that run as root."""
    path = Path(tempfile.mkdtemp(prefix="corral-newcomer-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize(
    ("input_method", "options"),
    [
        (Mouse(), {}),
        (Touch(), _PHONE),
        (Keyboard(), {}),
        (Touch(), {"java_script_enabled": False, **_PHONE}),
    ],
    ids=["desk", "phone", "keyboard", "phone without script"],
)
async def test_from_the_first_start_to_the_second_sign_in(
    input_method: InputMethod,
    options: dict[str, Any],
    folder: Path,
    sandbox: Sandbox,
    faults: Faults,
    browsing: Browsing,
) -> None:
    key_id = paper_key()
    worth = {"equity": '"48151623.42"', "cash": '"1000"', "last_equity": '"48151600"'}
    await faults.set(key_id, path="/v2/account", account_raw=worth)
    async with running("serve", data_dir=folder / "data", **_settings_of(sandbox)) as server:
        link, addresses = await server.says(r"set-up\s+(\S+)"), list[str]()
        async with browsing(base_url=await server.url(), **options) as context:
            context.on("request", lambda request: addresses.append(request.url))
            newcomer = Newcomer(await context.new_page(), input_method, options.get("java_script_enabled", True))
            await _set_up(newcomer, link)
            await _add_account(newcomer, key_id, await _account_number(sandbox, key_id))
            await _open_account_pages(newcomer)
            token = await _create_and_revoke_a_token(newcomer, await server.url())
            await _change_the_password_and_sign_in_again(newcomer)
        secrets = [link.partition("#")[2], _PASSWORD, _NEW_PASSWORD, secret_of(key_id), key_id, token]
        for secret in secrets:
            assert not [address for address in addresses if secret in address]
            assert secret not in _output_after_the_start(server, link)
        assert await server.stop() == 0


def _settings_of(sandbox: Sandbox) -> dict[str, str]:
    return {
        "alpaca_paper_url": sandbox.paper_url,
        "alpaca_live_url": sandbox.live_url,
        "alpaca_data_url": sandbox.url,
        "log_format": "json",
        "port": str(free_port()),
    }


def _output_after_the_start(server: Running, link: str) -> str:
    return server.out.replace(link, "") + server.err


async def _account_number(sandbox: Sandbox, key_id: str) -> str:
    headers = {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret_of(key_id)}
    async with ClientSession(headers=headers) as client, client.get(f"{sandbox.paper_url}/v2/account") as answer:
        return (await answer.json())["account_number"]


async def _set_up(newcomer: Newcomer, link: str) -> None:
    await newcomer.page.goto(link)
    await newcomer.sees("Set up Corral")
    if newcomer.has_script:
        await expect(newcomer.page).to_have_url(link.partition("#")[0])  # the code is no longer in the URL
    else:
        await newcomer.write(token=link)
    await newcomer.write(email=_EMAIL, password=_PASSWORD)
    await newcomer.press("button", "Set up and sign in")
    await newcomer.sees("Connect your first account")


async def _add_account(newcomer: Newcomer, key_id: str, account_number: str) -> None:
    await newcomer.press("link", "Add account")
    await newcomer.write(nickname="Long-term", api_key=key_id, secret_key=secret_of(key_id))
    await newcomer.press("button", "Add account")
    await newcomer.sees(f"Account {account_number} connected")
    await expect(newcomer.page.get_by_role("status")).to_contain_text("PAPER")
    await newcomer.press("link", "Done")
    await newcomer.sees("Home")
    card = newcomer.page.get_by_role("article", name="Long-term")
    await newcomer.finds(card.get_by_text("$48,151,623.42"))
    await expect(card).to_contain_text("PAPER")
    await expect(card).to_contain_text(account_number)


async def _open_account_pages(newcomer: Newcomer) -> None:
    await newcomer.press("link", "Long-term")
    await newcomer.sees("Long-term")
    await newcomer.finds(newcomer.page.locator("[data-figure=equity]").get_by_text("$48,151,623.42"))
    await newcomer.sees("Positions")
    for page in ("Orders", "Activities"):
        tabs = newcomer.page.get_by_role("navigation", name="Long-term")
        await newcomer.input_method.press(tabs.get_by_role("link", name=page))
        await newcomer.sees(page)
        await newcomer.applies_filters()
        await newcomer.finds(newcomer.page.get_by_role("row").nth(1))
        await newcomer.sees(page)
    await newcomer.press("link", "API key")
    await newcomer.sees("API key")
    await newcomer.press("button", "Check API key")
    await expect(newcomer.page.get_by_role("status")).to_contain_text("Alpaca accepts this API key for paper trading")


async def _create_and_revoke_a_token(newcomer: Newcomer, url: str) -> str:
    await newcomer.press_in_navigation("link", "Settings")
    await newcomer.sees("API tokens")
    await newcomer.write(name="Spreadsheet")
    await newcomer.input_method.press(newcomer.page.get_by_label("View accounts"))
    await newcomer.press("button", "Create token")
    await newcomer.sees("Copy your new API token")
    token = await newcomer.page.locator("#created").inner_text()
    assert _TOKEN.fullmatch(token)
    async with ClientSession(url, headers={"Authorization": f"Bearer {token}"}) as program:
        async with program.get("/api/credentials") as answer:
            assert answer.status == 403
        async with program.get("/api/overview") as answer:
            assert answer.status == 200
        await newcomer.press("link", "Revoke Spreadsheet")
        await newcomer.sees("Revoke “Spreadsheet”?")
        await newcomer.press("button", "Revoke")
        await newcomer.sees("API tokens")
        await expect(newcomer.page.get_by_role("link", name="Revoke Spreadsheet")).to_have_count(0)
        await expect(newcomer.page.get_by_role("listitem").filter(has_text="API token revoked")).to_be_visible()
        async with program.get("/api/overview") as answer:
            assert answer.status == 401
    return token


async def _change_the_password_and_sign_in_again(newcomer: Newcomer) -> None:
    await newcomer.write(current_password=_PASSWORD, new_password=_NEW_PASSWORD)
    await newcomer.press("button", "Set password")
    for comes_to in ("API tokens", "Home"):  # after the change to the API tokens, which still work
        await newcomer.sees("Sign in")
        await newcomer.write(email=_EMAIL, password=_NEW_PASSWORD)
        await newcomer.press("button", "Sign in")
        await newcomer.sees(comes_to)
        await newcomer.press_in_navigation("link", "Home")
        await newcomer.sees("Home")
        await newcomer.finds(newcomer.page.get_by_role("article").get_by_text("$48,151,623.42"))
        await newcomer.press_in_navigation("button", "Sign out")
    await newcomer.sees("Sign in")
