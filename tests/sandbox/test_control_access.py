"""Who may use the control API: this machine, or those that have the control token. Never a web page."""

import re

import pytest
from aiohttp import ClientSession
from multidict import CIMultiDict

from corral_sandbox import run_sandbox, secret_of, serve_sandbox

TOKEN = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
CONTROL_CALLS = [
    ("GET", "/_clock"),
    ("POST", "/_clock/advance"),
    ("GET", "/_accounts/PKALICE0001"),
    ("PUT", "/_accounts/PKALICE0001"),
    ("POST", "/_reset"),
    ("GET", "/_prices"),
    ("PUT", "/_faults"),
    ("GET", "/_requests"),
    ("DELETE", "//_requests/"),
    ("GET", "/_no_such_thing"),
]
KEYS = {"APCA-API-KEY-ID": "PKALICE0001", "APCA-API-SECRET-KEY": secret_of("PKALICE0001")}


async def _answer(http: ClientSession, method: str, url: str, **headers: str) -> tuple[int, str]:
    async with http.request(method, url, headers={name.replace("_", "-"): text for name, text in headers.items()}) as r:
        return r.status, (await r.json()).get("message", "")


def _through_loopback(url: str) -> str:
    """The peer is on this machine, as a reverse proxy is. That opens nothing."""
    return url.replace("0.0.0.0", "127.0.0.1")


async def test_where_other_machines_can_reach_it_control_calls_are_refused_without_a_token(http: ClientSession) -> None:
    async with serve_sandbox(host="0.0.0.0", port=0) as sandbox:
        assert not sandbox.takes_control_calls
        url = _through_loopback(sandbox.url)
        for method, path in CONTROL_CALLS:
            status, message = await _answer(http, method, url + path, Authorization="Bearer ")
            assert status == 403
            assert "start the sandbox with --control-token-file FILE" in message
        assert (await _answer(http, "GET", f"{url}/_health"))[0] == 200
        assert (await _answer(http, "GET", f"{url}/paper/v2/account", **KEYS))[0] == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
async def test_with_a_token_every_control_call_needs_it_wherever_it_listens(http: ClientSession, host: str) -> None:
    async with serve_sandbox(host=host, port=0, control_token=TOKEN) as sandbox:
        assert sandbox.takes_control_calls
        url = _through_loopback(sandbox.url)
        for method, path in CONTROL_CALLS:
            status, message = await _answer(http, method, url + path)
            assert status == 401
            assert message.endswith("send it as Authorization: Bearer TOKEN")
        for header in (f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer", "Bearer \udcff"):
            assert (await _answer(http, "GET", f"{url}/_clock", Authorization=header))[0] == 401
        for header in (f"Bearer {TOKEN}", f"bearer  {TOKEN}"):
            assert (await _answer(http, "GET", f"{url}/_clock", Authorization=header))[0] == 200
        allowed = {"Authorization": f"Bearer {TOKEN}", "Host": "sandbox.example.com", "X-Forwarded-For": "192.0.2.7"}
        assert (await _answer(http, "GET", f"{url}/_clock", **allowed))[0] == 200
        assert (await _answer(http, "GET", f"{url}/_clock", **allowed, Origin="http://127.0.0.1"))[0] == 403
        assert (await _answer(http, "GET", f"{url}/_health"))[0] == 200


async def test_a_refusal_names_the_scheme(http: ClientSession) -> None:
    async with serve_sandbox(port=0, control_token=TOKEN) as sandbox, http.get(f"{sandbox.url}/_clock") as refused:
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert TOKEN not in await refused.text()


async def test_a_foreign_host_name_is_refused(http: ClientSession) -> None:
    """A page of rebound.example whose name now leads here sends no Origin with its GET."""
    async with serve_sandbox(port=0) as sandbox:
        port = sandbox.url.rpartition(":")[2]
        for host in (
            "rebound.example",
            f"rebound.example:{port}",
            "127.0.0.1.rebound.example",
            "127.0.0.1@x",
            "",
            "[::1",
        ):
            status, message = await _answer(http, "GET", f"{sandbox.url}/_accounts/PKALICE0001", Host=host)
            assert (status, "send it to localhost, 127.0.0.1 or [::1]" in message) == (403, True), host
        for host in ("localhost", f"localhost:{port}", "LocalHost", "127.0.0.1", f"[::1]:{port}", "[::1]"):
            assert (await _answer(http, "GET", f"{sandbox.url}/_accounts/PKALICE0001", Host=host))[0] == 200, host
        assert (await _answer(http, "GET", f"{sandbox.url}/_health", Host="rebound.example"))[0] == 200


async def test_two_host_names_do_not_help(http: ClientSession) -> None:
    two = CIMultiDict([("Host", "localhost"), ("Host", "rebound.example")])
    async with serve_sandbox(port=0) as sandbox, http.get(f"{sandbox.url}/_clock", headers=two) as refused:
        assert refused.status in {400, 403}


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"])
async def test_a_proxy_on_this_machine_does_not_open_it_to_others(http: ClientSession, header: str) -> None:
    async with serve_sandbox(port=0) as sandbox:
        status, message = await _answer(http, "GET", f"{sandbox.url}/_clock", **{header: "192.0.2.7"})
        assert (status, message) == (
            403,
            f"this call came through a proxy ({header}): start the sandbox with a control token to allow that",
        )


async def test_every_loopback_address_is_this_machine(http: ClientSession) -> None:
    for host in ("::1", "localhost"):
        async with serve_sandbox(host=host, port=0) as sandbox:
            assert sandbox.takes_control_calls
            assert (await _answer(http, "GET", f"{sandbox.url}/_clock"))[0] == 200


async def test_a_thread_takes_a_token_too(http: ClientSession) -> None:
    with run_sandbox(control_token=TOKEN) as sandbox:
        assert (await _answer(http, "GET", f"{sandbox.url}/_clock"))[0] == 401
        assert sandbox.clock.get().speed == 1  # who runs it needs no token


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "Zürich"])
async def test_a_token_that_no_header_could_carry_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match=re.escape("visible ASCII characters")):
        async with serve_sandbox(port=0, control_token=token):
            pass


@pytest.mark.parametrize("path", ["/_clock", "/_faults", "/v2/orders"])
async def test_a_body_that_is_not_what_its_headers_say_is_refused(http: ClientSession, path: str) -> None:
    async with serve_sandbox(port=0) as sandbox:
        headers = {**KEYS, "Content-Encoding": "gzip"}
        method = "POST" if path == "/v2/orders" else "PUT"
        async with http.request(method, sandbox.url + path, data=b"{}", headers=headers) as refused:
            assert refused.status == 400
