"""The page at `/`, over plain HTTP. `tests/browser/test_sandbox_page.py` looks at it with a browser."""

import re
from importlib.resources import files

import pytest
from aiohttp import ClientSession

from corral_sandbox import Sandbox, secret_of
from corral_sandbox.http.access import is_key_id

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
NOT_FOUND = {"message": "endpoint not found."}
_FILES = {
    "": "text/html; charset=utf-8",
    "_page/page.css": "text/css; charset=utf-8",
    "_page/page.js": "text/javascript; charset=utf-8",
    "_page/icon.svg": "image/svg+xml",
}


async def _page(http: ClientSession, sandbox: Sandbox) -> str:
    async with http.get(sandbox.url, headers=BROWSER) as response:
        assert response.status == 200
        return await response.text()


@pytest.mark.parametrize("path", _FILES)
@pytest.mark.parametrize("origin", [{}, {"Origin": "https://example.com"}])
async def test_the_page_and_its_files_are_served_as_what_they_are_and_never_cached(
    sandbox: Sandbox, http: ClientSession, path: str, origin: dict[str, str]
) -> None:
    async with http.get(f"{sandbox.url}/{path}", headers=BROWSER | origin) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, _FILES[path])
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert not [name for name in response.headers if name.startswith(("Access-Control-", "Set-Cookie"))]
        policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
        body = await response.read()
    allowed = {f"{kind}-src": "'self'" for kind in ("script", "style", "img", "connect")}
    forbidden = dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")
    assert policy == allowed | forbidden
    async with http.head(f"{sandbox.url}/{path}", headers=BROWSER) as head:
        assert (head.status, head.headers["Content-Length"], await head.read()) == (200, str(len(body)), b"")


@pytest.mark.parametrize("accept", [{}, {"Accept": "application/json"}, {"Accept": "application/json, text/html"}])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_program_gets_alpacas_404_at_the_root(
    sandbox: Sandbox, http: ClientSession, method: str, accept: dict[str, str]
) -> None:
    async with http.request(method, f"{sandbox.url}/", headers=accept) as response:
        assert response.status == 404
        assert response.headers["Content-Type"] == "application/json"
        assert method == "HEAD" or await response.json() == NOT_FOUND


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/", 404),
        ("GET", "/_page", 404),
        ("GET", "/_page/", 404),
        ("GET", "/_page/index.html", 404),
        ("GET", "/_page/../files.py", 404),
        ("GET", "/_page/%2e%2e%2ffiles.py", 404),
        ("POST", "/_page/page.js", 405),
        ("GET", "/paper", 403),
    ],
)
async def test_there_is_nothing_else_for_a_browser(
    sandbox: Sandbox, http: ClientSession, method: str, path: str, status: int
) -> None:
    async with http.request(method, f"{sandbox.url}{path}", headers=BROWSER) as response:
        assert (response.status, response.headers["Content-Type"]) == (status, "application/json")


async def test_the_page_has_no_inline_scripts_or_styles_and_nothing_of_other_hosts(
    sandbox: Sandbox, http: ClientSession
) -> None:
    page = await _page(http, sandbox)
    used = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert set(used) == {"./", *(path for path in _FILES if path)}
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    script = (files("corral_sandbox.page") / "static" / "page.js").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|DOMParser|document\.write|\beval\b|Storage", script)


async def test_without_scripts_the_page_says_which_keys_work(sandbox: Sandbox, http: ClientSession) -> None:
    page = await _page(http, sandbox)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.partition("<body>")[2]))
    assert "A key ID is PK (paper) or AK (live) and 6 to 38 capital letters or digits." in text
    assert "Its secret is sandbox-secret-for- followed by the key ID." in text
    for length, works in ((5, False), (6, True), (38, True), (39, False)):
        assert is_key_id("PK" + "A" * length) == is_key_id("AK" + "0" * length) == works
    command = re.search(r'curl -H "([^:]+): (\w+)" -H "([^:]+): ([\w-]+)" http://127\.0\.0\.1:8003(/\S+)', text)
    assert command is not None
    key_header, key_id, secret_header, secret, path = command.groups()
    assert secret == secret_of(key_id)
    async with http.get(f"{sandbox.url}{path}", headers={key_header: key_id, secret_header: secret}) as response:
        assert response.status == 200
    for address in re.findall(r"ws://127\.0\.0\.1:8003(/\S+)", text):
        async with http.ws_connect(f"{sandbox.url}{address}"):
            pass


async def test_looking_at_the_page_is_no_request_of_a_program(sandbox: Sandbox, http: ClientSession) -> None:
    await http.put(f"{sandbox.url}/_faults", json={"faults": [{"status": 503}]})
    await _page(http, sandbox)
    async with http.get(f"{sandbox.url}/_requests") as response:
        assert (await response.json())["requests"] == 0
