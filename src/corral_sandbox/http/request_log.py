"""One line for each request, when it is answered."""

from collections.abc import Awaitable, Callable
from time import perf_counter

from aiohttp import web

from corral_sandbox.http.access import claimed_key_id

_Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def logged(handle: _Handle, write: Callable[[str], object]) -> _Handle:
    """Returns `handle`, and writes key id, method, path, status and milliseconds of each request. Never a secret."""

    async def handle_and_write(request: web.BaseRequest) -> web.StreamResponse:
        began, status = perf_counter(), "disconnected"
        try:
            response = await handle(request)
            if request.transport is not None and not request.transport.is_closing():
                status = str(response.status)
            return response
        finally:
            milliseconds = (perf_counter() - began) * 1_000
            key_id = claimed_key_id(request.headers) or "-"
            write(f"{key_id} {request.method} {request.rel_url.raw_path_qs} {status} {milliseconds:.1f} ms")

    return handle_and_write
