"""Runs each client's program through the gateway, with a grant in place of keys: it prints what it prints at Alpaca.

What a grant does not open (withdrawals, settings, market data that is pushed) is asked of the gateway, which has to
refuse it, and then of the sandbox with the account's own keys, so that the program goes on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, AnyStr, Final, cast

import pytest
from aiohttp import ClientSession

from corral_sandbox import secret_of, token_of
from tests.access import browser, sign_in_by_link
from tests.clients import recordings
from tests.clients.recorder import Answered, Relay, relaying
from tests.clients.recordings import Message
from tests.clients.with_clients import CLIENTS, Client, run
from tests.conftest import Service, StartService
from tests.gateway.recorded import REFUSED, operation_of, with_prefix
from tests.grants.conftest import GrantOwner, reader_of
from tests.identity.members import add_member

_TRADE_STREAMS: Final = {"/paper/stream": "/alpaca/stream"}
_REFUSALS: Final = {401, 403, 404, 405}


class GrantRelay(Relay):
    """Passes on to the gateway what a grant opens. `opened` are the operations that were."""

    def __init__(
        self, http: ClientSession, sandbox_url: str, *, key_id: str, gateway_url: str, grant: Mapping[str, str]
    ) -> None:
        super().__init__(http, sandbox_url, key_id)
        self._gateway_url = gateway_url
        self._own = {
            f"Bearer {grant['secret_key']}": f"Bearer {token_of(key_id)}",
            grant["secret_key"]: secret_of(key_id),
            grant["key_id"]: key_id,
        }
        self.opened: set[str] = set()

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answered:
        operation = operation_of(method, path)
        status, kind, answer = await self.send(method, self._gateway_url + with_prefix(path), headers, body)
        shown = {name.lower() for name in headers} & {"apca-api-key-id", "authorization"}
        if operation is not None and operation not in REFUSED and shown and "/:" not in path:
            self.opened.add(operation)
            return status, kind, answer
        assert status in _REFUSALS, (method, path, status)
        own = {name: self._with_own_keys(value) for name, value in headers.items()}
        return await super().ask(method, path, own, body)

    def socket_address(self, path: str) -> str:
        if path in _TRADE_STREAMS:
            self.opened.add(_TRADE_STREAMS[path])
            return self._gateway_url + _TRADE_STREAMS[path]
        return self.sandbox_url + path

    def translated(self, frame: AnyStr, path: str) -> AnyStr:
        if path in _TRADE_STREAMS:
            return frame
        message = Message.of_text(frame) if isinstance(frame, str) else Message.of_bytes(frame)
        return cast("AnyStr", message.masked(self._with_own_keys).to_frame())

    def _with_own_keys(self, text: str) -> str:
        for granted, own in self._own.items():
            text = text.replace(granted, own)
        return text


async def _new_grant(service: Service, key_id: str) -> dict[str, Any]:
    member = await add_member(service)
    async with browser(service.url, await sign_in_by_link(service, member.user_id)) as page:
        owner = GrantOwner(member, page, reader_of(service))
        return await owner.grant(await owner.account(key_id), access="trade")


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_a_client_works_through_a_grant(client: Client, start_service: StartService, tmp_path: Path) -> None:
    key_id = f"PKGRANTED{client.name.upper().replace('_', '')}"
    async with recordings.still_sandbox() as sandbox:
        upstream = {"alpaca_paper_url": sandbox.paper_url, "alpaca_data_url": sandbox.url}
        async with start_service(upstream_timeout_seconds=10, **upstream) as service, ClientSession() as http:
            grant = await _new_grant(service, key_id)
            relay = GrantRelay(http, sandbox.url, key_id=key_id, gateway_url=service.url, grant=grant)
            keys = {"KEY_ID": grant["key_id"], "SECRET": grant["secret_key"], "TOKEN": grant["secret_key"]}
            async with relaying(relay, tmp_path) as recorder:
                got = await run(client, sandbox, recorder, keys)
    assert got == client.expectation()
    assert "POST /v2/orders" in relay.opened
