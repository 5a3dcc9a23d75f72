"""How an answer goes over the wire: at once, or the way a fault wants it."""

import asyncio
import socket
import struct
from collections.abc import Iterator

from aiohttp import web

from corral_sandbox.answers import Answer
from corral_sandbox.faults import Fault

_BLOCK = b"x" * 65_536


async def deliver(request: web.BaseRequest, answer: Answer, fault: Fault | None) -> web.StreamResponse:
    answer.headers.setdefault("Content-Type", "application/json")
    if fault is None or (fault.cut is None and fault.drip is None and fault.body_bytes is None):
        return web.Response(status=answer.status, headers=answer.headers, body=answer.wire_body())
    if fault.cut == "before_headers":
        reset(request)
        return web.Response()
    return await _stream(request, answer, fault)


def reset(request: web.BaseRequest) -> None:
    """Breaks the connection, as a line does that is cut."""
    if request.transport:
        # Closing without lingering makes the kernel send RST where it would have sent FIN.
        no_linger = struct.pack("ii", 1, 0)
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        request.transport.abort()


async def _stream(request: web.BaseRequest, answer: Answer, fault: Fault) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    body = answer.wire_body()
    if fault.body_bytes is None:
        response.content_length = len(body)
    await response.prepare(request)
    for piece in _pieces(body, fault):
        await response.write(piece)
        if fault.drip:
            await asyncio.sleep(fault.drip.every_ms / 1_000)
    if fault.cut == "mid_body" and request.transport:
        request.transport.close()
    return response


def _pieces(body: bytes, fault: Fault) -> Iterator[bytes]:
    whole = len(body) if fault.body_bytes is None else fault.body_bytes
    end = whole // 2 if fault.cut == "mid_body" else whole
    size = fault.drip.bytes if fault.drip else len(_BLOCK)
    for start in range(0, end, size):
        length = min(size, end - start)
        yield _BLOCK[:length] if fault.body_bytes is not None else body[start : start + length]
