"""Every page in every state that looks different."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from playwright.async_api import Page, expect

from tests.identity.members import PASSWORD

Steps = Callable[[Page], Awaitable[None]]
Viewer = Literal["administrator", "new member", "beginner", "trader", "collector", "unlucky", "nobody"]


@dataclass(frozen=True, slots=True)
class Scene:
    """`path` has ids of the sample app in braces; `steps` lead from there to the state."""

    name: str
    path: str
    viewer: Viewer = "administrator"
    steps: Steps | None = None

    @property
    def is_still(self) -> bool:
        """Whether nothing but the loading of the page has changed it."""
        return self.steps in {None, _wait_for_figures, _wait_for_the_history}

    def __str__(self) -> str:
        return self.name


def _submits_rejected(button: str, **fields: str) -> Steps:
    """Fills in fields by name and submits the form, which is rejected."""

    async def steps(page: Page) -> None:
        dialog = page.locator("dialog[open]")
        place = dialog if await dialog.count() else page.locator("main")
        form = place.locator("form").filter(has=page.get_by_role("button", name=button, exact=True))
        for name, text in fields.items():
            await form.locator(f"[name={name}]").fill(text)
        await form.get_by_role("button", name=button, exact=True).click()
        await expect(page.locator(".form-problem .problem:visible, .field-error:visible").first).to_be_visible()

    return steps


def _opens(link: str, then: Steps | None = None) -> Steps:
    async def steps(page: Page) -> None:
        await page.locator(f"a[data-dialog={link}]").first.click()
        await expect(page.locator(f"dialog#{link}")).to_be_visible()
        if then:
            await then(page)

    return steps


async def _open_all_details(page: Page) -> None:
    await page.evaluate("for (const fold of document.querySelectorAll('details.aside')) fold.open = true")


async def _open_filters(page: Page) -> None:
    """On a phone they are behind a button."""
    if await page.locator(".filter-button").is_visible():
        await page.locator(".filter-button").click()


async def _wait_for_the_reference(page: Page) -> None:
    await expect(page.locator("details.call").first).to_be_visible()


async def _open_operations(page: Page) -> None:
    await _wait_for_the_reference(page)
    await page.evaluate(
        "for (const fold of [...document.querySelectorAll('details.call')].slice(0, 6)) fold.open = true"
    )


async def _wait_for_figures(page: Page) -> None:
    await expect(page.locator("[data-figure=equity] data").first).to_be_visible()


async def _wait_for_the_history(page: Page) -> None:
    await expect(page.get_by_role("heading", name="Positions")).to_be_visible()
    await expect(page.locator("a[data-wait]")).to_have_count(0)


async def _open_the_history(page: Page) -> None:
    await _wait_for_the_history(page)
    await _open_all_details(page)


async def _open_the_switcher(page: Page) -> None:
    await page.get_by_text("Switch account").click()
    await expect(page.get_by_role("searchbox", name="Find an account")).to_be_focused()


async def _open_the_allocation(page: Page) -> None:
    await page.get_by_text("Allocation", exact=True).click()


async def _lose_the_connection(page: Page) -> None:
    await page.route("**/api/stream?*", lambda route: route.abort())
    await page.reload()
    await expect(page.locator("[data-connection-state]")).to_be_visible()


async def _create_a_token(page: Page) -> None:
    await _open_all_details(page)
    await page.get_by_label("Name").fill("Bookkeeping")
    await page.get_by_label("View accounts").check()
    await page.get_by_role("button", name="Create token").click()
    await expect(page.locator("#created")).to_be_visible()


async def _create_a_token_without_scopes(page: Page) -> None:
    await _open_all_details(page)
    await page.get_by_label("Name").fill("Bookkeeping")
    await page.get_by_role("button", name="Create token").click()
    await expect(page.locator(".field-error").first).to_be_visible()


async def _create_a_grant(page: Page) -> None:
    await _open_all_details(page)
    form = page.locator("form").filter(has=page.get_by_role("button", name="Create grant"))
    await form.get_by_label("Name").fill("Bookkeeping")
    await form.get_by_label("Cancel and close").check()
    await form.get_by_label("Your password").fill(PASSWORD)
    await form.get_by_role("button", name="Create grant").click()
    await expect(page.locator("#secret-key")).to_be_visible()
    await page.evaluate("for (const fold of document.querySelectorAll('details.snippet')) fold.open = true")


async def _create_an_invite_link(page: Page) -> None:
    await page.get_by_label("Email").fill("emil@corral.example")
    await page.get_by_label("Your password").fill(PASSWORD)
    await page.get_by_role("button", name="Create invite link").click()
    await expect(page.locator("#link")).to_be_visible()


async def _check_api_key(page: Page) -> None:
    await page.get_by_role("button", name="Check API key").click()
    await expect(page.get_by_role("status").filter(has_text="Checked")).to_be_visible()


_WRONG = "a wrong code, a wrong password"
SCENES = [
    Scene("sign in", "/sign-in", "nobody"),
    Scene("sign in with a link", "/sign-in#corral_link_of_nobody", "nobody"),
    Scene("sign in with a code", "/sign-in/code", "nobody"),
    Scene("sign in, signed in already", "/sign-in?next=/you"),
    Scene("sign in refused", "/sign-in", "nobody", _submits_rejected("Sign in", email="a@b.example", password=_WRONG)),
    Scene("set up", "/setup", "nobody"),
    Scene(
        "set up refused",
        "/setup",
        "nobody",
        _submits_rejected("Set up and sign in", token="corral_no", email="a@b.example", password=_WRONG),
    ),
    Scene("invitation", "/invitation", "nobody"),
    Scene(
        "invitation refused",
        "/invitation",
        "nobody",
        _submits_rejected("Join and sign in", token="corral_no", password=_WRONG),
    ),
    Scene("recover", "/recover", "nobody"),
    Scene(
        "recover refused",
        "/recover",
        "nobody",
        _submits_rejected("Set password", token="corral_no", new_password=_WRONG),
    ),
    Scene("api", "/docs", "nobody", _wait_for_the_reference),
    Scene("api, open operations", "/docs", "administrator", _open_operations),
    Scene("not found", "/nowhere", "nobody"),
    Scene("not found, signed in", "/keys/{token}"),
    Scene("not an administrator", "/people", "new member"),
    Scene("first run", "/", "new member"),
    Scene("first run, adding an account", "/", "new member", _opens("add-account")),
    Scene("settings, new member", "/you", "new member"),
    Scene("home", "/", steps=_wait_for_figures),
    Scene("home, adding an account", "/", steps=_opens("add-account")),
    Scene("home, disconnected", "/", steps=_lose_the_connection),
    Scene("home, one account", "/?wait", "beginner", _wait_for_figures),
    Scene("home, three accounts", "/?wait", "trader", _wait_for_figures),
    Scene("home, thirty accounts in groups", "/?wait&group=group", "collector", _wait_for_figures),
    Scene("home, all failing", "/?wait", "unlucky"),
    Scene("arrange", "/arrange"),
    Scene("account, paper", "/accounts/{paper}?span=1W", steps=_wait_for_the_history),
    Scene("account, paper, one day, as a table", "/accounts/{paper}?span=1D", steps=_open_the_history),
    Scene("account, live", "/accounts/{live}", steps=_wait_for_the_history),
    Scene("account, blocked", "/accounts/{blocked}", steps=_wait_for_the_history),
    Scene("account, switching to another", "/accounts/{blocked}?wait=true", steps=_open_the_switcher),
    Scene("account, partly unreadable", "/accounts/{odd}?wait=true", steps=_wait_for_the_history),
    Scene("orders, partly unreadable", "/accounts/{odd}/orders?wait=true"),
    Scene("activities, partly unreadable", "/accounts/{odd}/activities?wait=true"),
    Scene("account, not open", "/accounts/{unopened}?wait=true"),
    Scene("account, rejected key", "/accounts/{refused}"),
    Scene("account, Alpaca down", "/accounts/{down}?wait=true"),
    Scene("account, paused", "/accounts/{off}"),
    Scene("orders", "/accounts/{paper}/orders?wait=true"),
    Scene("orders, none", "/accounts/{paper}/orders?wait=true&since=2001-01-01&to=2001-01-02"),
    Scene("orders, filtered", "/accounts/{odd}/orders?wait=true&type=market&side=buy&symbol=NVDA", steps=_open_filters),
    Scene("order, bracket", f"/accounts/{{odd}}/orders/{UUID(int=3)}?wait=true"),
    Scene("order, multi-leg", f"/accounts/{{odd}}/orders/{UUID(int=6)}?wait=true"),
    Scene("activities", "/accounts/{paper}/activities?wait=true"),
    Scene("activities, invalid dates", "/accounts/{live}/activities?since=2026-11-03&to=2026-11-01"),
    Scene("position", "/accounts/{paper}/positions/NVDA?wait=true"),
    Scene("position, option", "/accounts/{odd}/positions/NVDA281215C00200000?wait=true"),
    Scene("holdings", "/holdings?money=paper&split=NVDA&wait=true", steps=_open_the_allocation),
    Scene("orders of all accounts", "/orders?money=paper&wait=true"),
    Scene("activity of all accounts", "/activity?money=paper&wait=true"),
    Scene("add account", "/keys/new"),
    Scene(
        "add account, rejected",
        "/keys/new",
        steps=_submits_rejected(
            "Add account", nickname="Long-term", api_key="PKNOBODY", secret_key="not-the-secret-of-it"
        ),
    ),
    Scene(
        "add account, a key with a space",
        "/keys/new",
        steps=_submits_rejected(
            "Add account", nickname="Long-term", api_key="PKNO BODY", secret_key="not-the-secret-of-it"
        ),
    ),
    Scene("account added, paper", "/keys/{paper}/found"),
    Scene("account added, live", "/keys/{live}/found"),
    Scene("API key, paper", "/keys/{paper}"),
    Scene("API key, live", "/keys/{live}"),
    Scene("API key, rejected", "/keys/{refused}"),
    Scene("API key, paused", "/keys/{off}"),
    Scene("API key, checked", "/keys/{live}/check", steps=_check_api_key),
    Scene("API key, checked and rejected", "/keys/{refused}", steps=_check_api_key),
    Scene("renaming", "/keys/{paper}", steps=_opens("rename")),
    Scene("replacing", "/keys/{live}", steps=_opens("replace")),
    Scene("pausing", "/keys/{live}", steps=_opens("switch-off")),
    Scene("removing", "/keys/{paper}", steps=_opens("delete")),
    Scene(
        "removing, wrong name",
        "/keys/{paper}",
        steps=_opens("delete", _submits_rejected("Remove", nickname="another")),
    ),
    *[
        Scene(f"{action}, a page", f"/keys/{{{which}}}/{action}")
        for action, which in [
            ("rename", "paper"),
            ("replace", "live"),
            ("switch-off", "live"),
            ("switch-on", "off"),
            ("delete", "live"),
        ]
    ],
    Scene("grants, one created", "/accounts/{live}/grants", steps=_create_a_grant),
    Scene("grant", "/accounts/{paper}/grants/{grant}"),
    Scene("grants of all accounts", "/you/grants"),
    Scene("audit trail", "/you/audit"),
    Scene("members", "/people"),
    Scene("members, invite link created", "/people", steps=_create_an_invite_link),
    Scene(
        "members, invitation rejected",
        "/people/invitations",
        steps=_submits_rejected("Create invite link", email="x@y.example", current_password=_WRONG),
    ),
    Scene("revoke an invitation", "/people/invitations/{invitation}/revoke"),
    Scene("disable a member", "/people/{friend}/disable"),
    Scene(
        "disable a member, rejected",
        "/people/{friend}/disable",
        steps=_submits_rejected("Disable", current_password=_WRONG),
    ),
    Scene("enable a member", "/people/{outsider}/enable"),
    Scene("settings", "/you", steps=_open_all_details),
    Scene("settings, display saved", "/you/display?saved=display"),
    Scene("password reset", "/you/recovered"),
    Scene("password not reset", "/you/recovered", "new member"),
    Scene("settings, token created", "/you/tokens", steps=_create_a_token),
    Scene("settings, token rejected", "/you", steps=_create_a_token_without_scopes),
    Scene(
        "settings, password rejected",
        "/you/password",
        steps=_submits_rejected("Set password", current_password=_WRONG, new_password=_WRONG),
    ),
    Scene(
        "settings, common password rejected",
        "/you/password",
        steps=_submits_rejected("Set password", current_password=PASSWORD, new_password="password1234"),
    ),
    Scene("settings, ending a session", "/you/sessions/{session}/end"),
    Scene("settings, ending other sessions", "/you/sessions/others/end"),
    Scene("revoke a token", "/you/tokens/{token}/revoke"),
    Scene("revoke all tokens", "/you/tokens/all/revoke"),
]
