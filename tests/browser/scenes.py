"""Every page in every state in which it looks different."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from playwright.async_api import Page, expect

from tests.identity.members import PASSWORD

Steps = Callable[[Page], Awaitable[None]]
Who = Literal["keeper", "newcomer", "nobody"]


@dataclass(frozen=True, slots=True)
class Scene:
    """`path` has the world's ids in braces; `steps` lead from there to the state."""

    name: str
    path: str
    who: Who = "keeper"
    steps: Steps | None = None

    def __str__(self) -> str:
        return self.name


def _fills(button: str, **fields: str) -> Steps:
    """What is filled in, by the fields' names, is refused."""

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


async def _unfold_all(page: Page) -> None:
    await page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")


async def _read_the_api(page: Page) -> None:
    await expect(page.locator("details.call").first).to_be_visible()


async def _unfold_calls(page: Page) -> None:
    await _read_the_api(page)
    await page.evaluate(
        "for (const fold of [...document.querySelectorAll('details.call')].slice(0, 6)) fold.open = true"
    )


async def _wait_for_figures(page: Page) -> None:
    await expect(page.locator("[data-figure=equity] data").first).to_be_visible()


async def _wait_for_the_history(page: Page) -> None:
    await expect(page.get_by_role("heading", name="Positions")).to_be_visible()
    await expect(page.locator("a[data-wait]")).to_have_count(0)


async def _unfold_the_history(page: Page) -> None:
    await _wait_for_the_history(page)
    await _unfold_all(page)


async def _lose_the_stream(page: Page) -> None:
    await page.route("**/api/stream", lambda route: route.abort())
    await page.reload()
    await expect(page.locator("[data-stream-state]")).to_be_visible()


async def _make_a_token(page: Page) -> None:
    await _unfold_all(page)
    await page.get_by_label("What is it for?").fill("Bookkeeping")
    await page.get_by_label("See how your accounts stand").check()
    await page.get_by_role("button", name="Make the token").click()
    await expect(page.locator("#created")).to_be_visible()


async def _make_a_token_of_nothing(page: Page) -> None:
    await _unfold_all(page)
    await page.get_by_label("What is it for?").fill("Bookkeeping")
    await page.get_by_role("button", name="Make the token").click()
    await expect(page.locator(".field-error").first).to_be_visible()


async def _make_a_link(page: Page) -> None:
    await page.get_by_label("Their e-mail address").fill("emil@corral.example")
    await page.get_by_label("Your password").fill(PASSWORD)
    await page.get_by_role("button", name="Make a link").click()
    await expect(page.locator("#link")).to_be_visible()


async def _check_keys(page: Page) -> None:
    await page.get_by_role("button", name="Check with Alpaca").click()
    await expect(page.get_by_role("status").filter(has_text="Checked")).to_be_visible()


_WRONG = "a wrong code, a wrong password"
SCENES = [
    Scene("sign in", "/sign-in", "nobody"),
    Scene("sign in with a link", "/sign-in#corral_link_of_nobody", "nobody"),
    Scene("sign in with a code", "/sign-in/code", "nobody"),
    Scene("sign in, signed in already", "/sign-in?next=/you"),
    Scene("sign in refused", "/sign-in", "nobody", _fills("Sign in", email="a@b.example", password=_WRONG)),
    Scene("set up", "/setup", "nobody"),
    Scene(
        "set up refused",
        "/setup",
        "nobody",
        _fills("Set up and sign in", token="corral_no", email="a@b.example", password=_WRONG),
    ),
    Scene("invitation", "/invitation", "nobody"),
    Scene(
        "invitation refused", "/invitation", "nobody", _fills("Join and sign in", token="corral_no", password=_WRONG)
    ),
    Scene("recover", "/recover", "nobody"),
    Scene("recover refused", "/recover", "nobody", _fills("Set the password", token="corral_no", new_password=_WRONG)),
    Scene("api", "/docs", "nobody", _read_the_api),
    Scene("api unfolded", "/docs", "keeper", _unfold_calls),
    Scene("not there", "/nowhere", "nobody"),
    Scene("not there, signed in", "/keys/{token}"),
    Scene("not for everybody", "/people", "newcomer"),
    Scene("first run", "/", "newcomer"),
    Scene("first run, first keys", "/", "newcomer", _opens("add-keys")),
    Scene("you, newly here", "/you", "newcomer"),
    Scene("accounts", "/", steps=_wait_for_figures),
    Scene("accounts, adding keys", "/", steps=_opens("add-keys")),
    Scene("accounts, stream lost", "/", steps=_lose_the_stream),
    Scene("account, paper", "/accounts/{paper}?span=1W", steps=_wait_for_the_history),
    Scene("account, paper, one day, as a table", "/accounts/{paper}?span=1D", steps=_unfold_the_history),
    Scene("account, live", "/accounts/{live}", steps=_wait_for_the_history),
    Scene("account, blocked", "/accounts/{blocked}", steps=_wait_for_the_history),
    Scene("account, partly unreadable", "/accounts/{odd}?wait=true", steps=_wait_for_the_history),
    Scene("orders, partly unreadable", "/accounts/{odd}/orders?wait=true"),
    Scene("activities, partly unreadable", "/accounts/{odd}/activities?wait=true"),
    Scene("account, not open", "/accounts/{unopened}?wait=true"),
    Scene("account, refused", "/accounts/{refused}"),
    Scene("account, Alpaca down", "/accounts/{down}?wait=true"),
    Scene("account, off", "/accounts/{off}"),
    Scene("orders", "/accounts/{paper}/orders?wait=true"),
    Scene("orders, none", "/accounts/{paper}/orders?wait=true&since=2001-01-01&to=2001-01-02"),
    Scene("activities", "/accounts/{paper}/activities?wait=true"),
    Scene("activities refused", "/accounts/{live}/activities?since=2026-11-03&to=2026-11-01"),
    Scene("add keys", "/keys/new"),
    Scene(
        "add keys refused",
        "/keys/new",
        steps=_fills("Add", nickname="Long-term", api_key="PKNOBODY", secret_key="not-the-secret-of-it"),
    ),
    Scene(
        "add keys, a key with a space inside",
        "/keys/new",
        steps=_fills("Add", nickname="Long-term", api_key="PKNO BODY", secret_key="not-the-secret-of-it"),
    ),
    Scene("keys found, paper", "/keys/{paper}/found"),
    Scene("keys found, live", "/keys/{live}/found"),
    Scene("keys, paper", "/keys/{paper}"),
    Scene("keys, live", "/keys/{live}"),
    Scene("keys, refused", "/keys/{refused}"),
    Scene("keys, off", "/keys/{off}"),
    Scene("keys checked", "/keys/{live}/check", steps=_check_keys),
    Scene("keys checked and refused", "/keys/{refused}", steps=_check_keys),
    Scene("renaming", "/keys/{paper}", steps=_opens("rename")),
    Scene("replacing", "/keys/{live}", steps=_opens("replace")),
    Scene("switching off", "/keys/{live}", steps=_opens("switch-off")),
    Scene("deleting", "/keys/{paper}", steps=_opens("delete")),
    Scene(
        "deleting refused",
        "/keys/{paper}",
        steps=_opens("delete", _fills("Delete", nickname="another")),
    ),
    *[
        Scene(f"{deed}, a page", f"/keys/{{{which}}}/{deed}")
        for deed, which in [
            ("rename", "paper"),
            ("replace", "live"),
            ("switch-off", "live"),
            ("switch-on", "off"),
            ("delete", "live"),
        ]
    ],
    Scene("people", "/people"),
    Scene("people, a link made", "/people", steps=_make_a_link),
    Scene(
        "people, an invitation refused",
        "/people/invitations",
        steps=_fills("Make a link", email="x@y.example", current_password=_WRONG),
    ),
    Scene("revoke an invitation", "/people/invitations/{invitation}/revoke"),
    Scene("disable a person", "/people/{friend}/disable"),
    Scene("disable a person refused", "/people/{friend}/disable", steps=_fills("Disable", current_password=_WRONG)),
    Scene("enable a person", "/people/{outsider}/enable"),
    Scene("you", "/you", steps=_unfold_all),
    Scene("you, password reset", "/you/recovered"),
    Scene("you, password not reset", "/you/recovered", "newcomer"),
    Scene("you, a token made", "/you/tokens", steps=_make_a_token),
    Scene("you, a token refused", "/you", steps=_make_a_token_of_nothing),
    Scene(
        "you, a password refused",
        "/you/password",
        steps=_fills("Set the password", current_password=_WRONG, new_password=_WRONG),
    ),
    Scene(
        "you, a common password refused",
        "/you/password",
        steps=_fills("Set the password", current_password=PASSWORD, new_password="password1234"),
    ),
    Scene("you, ending a session", "/you/sessions/{session}/end"),
    Scene("you, ending others", "/you/sessions/others/end"),
    Scene("revoke a token", "/you/tokens/{token}/revoke"),
    Scene("revoke all tokens", "/you/tokens/all/revoke"),
]
