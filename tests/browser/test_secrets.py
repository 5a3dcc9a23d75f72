"""Secrets stay nowhere in the browser: neither in URLs nor in pages or storage."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright, expect

from corral.identity.links import issue_link
from corral_sandbox import secret_of
from tests.access import sign_in_by_link
from tests.browser.conftest import Browsing, open_page
from tests.conftest import Faults, Service
from tests.identity.members import make_administrator
from tests.log_lines import LogSince
from tests.people import Person, paper_key

_TOKEN = re.compile(r"corral_[0-9A-Za-z]{38}")
_STORAGE = """async () => JSON.stringify([
  {...localStorage}, {...sessionStorage}, await indexedDB.databases(), await caches.keys(), document.cookie,
  history.state, name])"""


@dataclass
class RequestRecorder:
    """Records every URL and header that a browser sends."""

    sent: list[str] = field(default_factory=list[str])

    def record(self, request: Request) -> None:
        self.sent += [request.url, *(f"{name}: {value}" for name, value in request.headers.items())]

    def follow(self, context: BrowserContext) -> "RequestRecorder":
        context.on("request", self.record)
        return self


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no script"])
async def test_a_rejected_secret_is_nowhere_on_the_page(
    has_script: bool,  # noqa: FBT001 - pytest passes parameters by name
    browsing: Browsing,
    alice: Person,
    faults: Faults,
    log_file: Path,
) -> None:
    log, down, wrong = LogSince(log_file), paper_key(), paper_key()
    await faults.set(down, latency_ms=3_000)  # longer than the service waits
    async with browsing(alice, java_script_enabled=has_script) as context:
        recorder = RequestRecorder().follow(context)
        page = await open_page(context, "/keys/new")
        for key_id, secret, told in [
            (wrong, "4711-this-is-not-the-secret-4711", "neither for paper nor for live"),
            (down, secret_of(down), "Alpaca isn't responding"),
        ]:
            await _offer(page, "Long-term", key_id, secret)
            await expect(page.get_by_role("alert")).to_contain_text(told)
            await expect(page.get_by_label("Secret")).to_have_value("")
            await _is_nowhere(page, recorder, secret)
            assert secret not in log.text()
        await page.reload()
        await _is_nowhere(page, recorder, secret_of(down))


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no script"])
async def test_a_new_token_is_shown_once_despite_reloads(
    has_script: bool,  # noqa: FBT001 - pytest passes parameters by name
    browsing: Browsing,
    alice: Person,
) -> None:
    async with browsing(alice, java_script_enabled=has_script) as context:
        recorder = RequestRecorder().follow(context)
        page = await open_page(context, "/you")
        token = await _make_token(page)
        await page.reload()
        await _is_nowhere(page, recorder, token)
        # With JavaScript a reload does not submit the form again; without it, it does.
        await expect(page.get_by_text("already created and shown")).to_have_count(0 if has_script else 1)
        if has_script:
            await page.goto("/docs")
            await page.go_back()
            await expect(page.get_by_role("heading", name="API tokens")).to_be_visible()
            await _is_nowhere(page, recorder, token)
    async with alice.client.get("/api/tokens") as answer:
        assert [one["name"] for one in (await answer.json())["items"]].count("Spreadsheet") == 1


async def test_an_invitation_still_works_after_a_reload(
    service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    await make_administrator(service, alice.email)
    async with browsing(alice) as office, browsing() as elsewhere:
        recorder = RequestRecorder().follow(office)
        page = await open_page(office, "/people")
        await page.get_by_label("Email").fill(bob.email.replace("bob", "dora"))
        await page.get_by_role("button", name="Create invite link").click()
        code = (await page.locator("#link").inner_text()).partition("#")[2]
        await page.wait_for_load_state()
        await page.reload()
        await _is_nowhere(page, recorder, code)
        joining = await open_page(elsewhere, f"/invitation#{code}")
        await joining.get_by_label("Password", exact=True).fill("a donkey, two staples and a lamp")
        await joining.get_by_role("button", name="Join and sign in").click()
        await expect(joining.get_by_role("heading", name="Connect your first account")).to_be_visible()


async def test_a_double_click_submits_once(browsing: Browsing, alice: Person) -> None:
    """The second response would replace the first one, which has the token."""
    async with browsing(alice) as context:
        page = await open_page(context, "/you")
        await _fill_in_token(page)
        is_stopped = await page.get_by_role("button", name="Create token").evaluate(
            """(button) => {
              const isStopped = [];
              button.form.addEventListener("submit", (event) => {
                isStopped.push(event.defaultPrevented);
                event.preventDefault();
              });
              button.click();
              button.click();
              return isStopped;
            }"""
        )
        assert is_stopped == [False, True]


async def test_closing_a_dialog_clears_its_fields(browsing: Browsing, alice: Person) -> None:
    async with browsing(alice) as context:
        page = await open_page(context)
        for _ in range(2):
            await page.get_by_role("link", name="Add account").click()
            for label in ("Name", "Key ID", "Secret"):
                field = page.get_by_role("dialog").get_by_label(label)
                await expect(field).to_have_value("")
                await field.fill("4711")
            await page.keyboard.press("Escape")


async def test_a_page_from_the_back_forward_cache_is_reloaded(browsing: Browsing, alice: Person) -> None:
    async with browsing(alice) as context:
        page = await open_page(context)
        await page.evaluate("window.wasHere = true")
        # Chromium caches none of these pages; other browsers might.
        async with page.expect_event("load"):
            await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        assert not await page.evaluate("window.wasHere")


async def test_a_code_is_removed_from_the_url_and_the_history(
    service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    resources = service.resources
    link = (await issue_link(resources.database, resources.vault, "sign_in", alice.user_id, service.url)).reveal()
    code = link.partition("#")[2]
    async with browsing() as context:
        recorder = RequestRecorder().follow(context)
        page = await open_page(context, link)
        await expect(page).to_have_url(f"{service.url}/sign-in")
        await page.get_by_role("button", name="Sign in with this link").click()
        await expect(page.get_by_role("heading", name="Connect your first account")).to_be_visible()
        await _is_nowhere(page, recorder, code)
        await page.go_back()
        await _is_nowhere(page, recorder, code)


async def test_after_signing_out_the_back_button_shows_nothing(
    chromium: str, service: Service, alice: Person, bob: Person
) -> None:
    stored = await alice.store(nickname="the meadow account")
    async with _browser_with_page_cache(chromium) as browser:
        context = await browser.new_context(base_url=service.url)
        name, _, value = (await sign_in_by_link(service, alice.user_id)).partition("=")
        await context.add_cookies([{"name": name, "value": value, "url": service.url}])
        page = await open_page(context)
        visited = [f"/accounts/{stored['id']}", f"/keys/{stored['id']}", "/you"]
        for path in visited:
            await page.goto(path)
        assert alice.email in await page.content()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        for _ in [*visited, "/"]:
            await page.go_back()
            await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
            content = await page.content()
            assert "meadow" not in content
            assert alice.email not in content


@asynccontextmanager
async def _browser_with_page_cache(chromium: str) -> AsyncGenerator[Browser]:
    """With the back/forward cache, which Playwright disables by default."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"], ignore_default_args=["--disable-back-forward-cache"]
        )
        yield browser
        await browser.close()


async def _offer(page: Page, nickname: str, key_id: str, secret: str) -> None:
    await page.get_by_label("Name").fill(nickname)
    await page.get_by_label("Key ID").fill(key_id)
    await page.get_by_label("Secret").fill(secret)
    await page.get_by_role("button", name="Add account", exact=True).click()


async def _make_token(page: Page) -> str:
    await _fill_in_token(page)
    await page.get_by_role("button", name="Create token").click()
    await page.wait_for_load_state()
    return await page.locator("#created").inner_text()


async def _fill_in_token(page: Page) -> None:
    await page.get_by_text("Create a token").first.click()
    await page.get_by_label("Name").fill("Spreadsheet")
    await page.get_by_label("View accounts").check()


async def _is_nowhere(page: Page, recorder: RequestRecorder, secret: str) -> None:
    assert secret not in await page.content()
    fields = await page.locator("input").evaluate_all("(all) => all.map(({ value }) => value)")
    assert secret not in fields
    assert secret not in await page.evaluate(_STORAGE)
    assert not [sent for sent in recorder.sent if secret in sent]
