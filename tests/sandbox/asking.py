"""A client of the sandbox without an SDK."""

from typing import Any

from aiohttp import ClientSession
from yarl import URL

from corral_sandbox import Sandbox
from tests.sandbox.people import ALICE, keys_of


class Caller:
    """Alice unless it is said otherwise. Paths go out as they are written, percent signs and all."""

    def __init__(self, http: ClientSession, sandbox: Sandbox) -> None:
        self._http = http
        self._sandbox = sandbox

    async def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        key_id: str = ALICE,
        body: Any = None,  # noqa: ANN401 - any JSON
    ) -> tuple[int, Any]:
        sent: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        url = URL(f"{self._sandbox.paper_url}{path}", encoded=True)
        async with self._http.request(method, url, headers=keys_of(key_id), **sent) as response:
            return response.status, await response.json() if response.status != 204 else None

    async def get(self, path: str, key_id: str = ALICE) -> Any:  # noqa: ANN401 - any JSON
        status, answer = await self.ask(path, key_id=key_id)
        assert status == 200, answer
        return answer
