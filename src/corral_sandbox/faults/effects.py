"""What a fault does to a response: replaces it, changes it, delays it or breaks it off."""

import asyncio
import json
import socket
import struct
from collections.abc import Iterator, Mapping
from http import HTTPStatus

import orjson
from aiohttp import web

from corral_sandbox.errors import ApiError
from corral_sandbox.faults.plan import FaultRule, RateLimitedReply
from corral_sandbox.http.requests import Response
from corral_sandbox.market.time import SECOND


def replacement_response(fault: FaultRule, request_headers: Mapping[str, str], now: int) -> Response | None:
    """Returns the response that replaces the Trading API's, None if the fault names none."""
    if fault.rate_limited is not None:
        return _rate_limited(fault.rate_limited, now)
    if fault.redirect_to is not None:
        return Response(fault.status or HTTPStatus.FOUND, b"", {"Location": fault.redirect_to})
    if fault.echo:
        return _echo(fault.status or HTTPStatus.OK, request_headers)
    if (body := _body(fault)) is not None:
        return Response(fault.status or HTTPStatus.OK, body)
    return None


def apply_fault(response: Response, fault: FaultRule) -> None:
    """Changes headers, and the fields of a successful /v2/account, as the fault says."""
    if fault.changes_account and response.status == HTTPStatus.OK and isinstance(response.body, dict):
        raw = {name: orjson.Fragment(text) for name, text in (fault.account_raw or {}).items()}
        response.body = {
            name: value for name, value in {**response.body, **raw}.items() if name not in (fault.account_without or ())
        }
    response.headers.update(fault.headers or {})
    if fault.content_type is not None:
        response.headers["Content-Type"] = fault.content_type


def _body(fault: FaultRule) -> dict[str, object] | bytes | None:
    """Returns None if the fault names neither body nor status. Bytes are sent as they are."""
    if fault.body_text is not None:
        return fault.body_text.encode()
    if fault.body_bytes is not None:
        return b""  # the filler is generated while it is sent
    if "body" in fault.given:
        return orjson.dumps(fault.body)
    return None if fault.status is None else {"message": _phrase(fault.status)}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.lower()
    except ValueError:  # a status without a standard phrase
        return "made up for a test"


def _rate_limited(limited: RateLimitedReply, now: int) -> Response:
    response = Response.of_error(ApiError(429, "rate limit exceeded"))
    seconds = 60 if limited.retry_after is None else limited.retry_after
    response.headers.update({"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "0"})
    response.headers["X-RateLimit-Reset"] = str(now // SECOND + seconds)
    if limited.retry_after is not None:
        response.headers["Retry-After"] = str(limited.retry_after)
    return response


def _echo(status: int, request_headers: Mapping[str, str]) -> Response:
    headers = dict(request_headers)
    line = "; ".join(f"{name}: {value}" for name, value in headers.items())
    return Response(
        status,
        json.dumps({"headers": headers}).encode(),  # not orjson: a header may hold bytes that are not valid text
        {"X-Echo": line.encode("ascii", "backslashreplace").decode()},
    )


_BLOCK = b"x" * 65_536


async def send_response(request: web.BaseRequest, response: Response, fault: FaultRule) -> web.StreamResponse:
    """Sends the response whole, in pieces, half of it, or nothing, as the fault says."""
    if fault.cut is None and fault.drip is None and fault.body_bytes is None:
        return response.to_web()
    if fault.cut == "before_headers":
        reset_connection(request)
        return web.Response()
    return await _send_in_pieces(request, response, fault)


def reset_connection(request: web.BaseRequest) -> None:
    """Aborts the connection as a network failure would."""
    if request.transport:
        # Closing without lingering makes the kernel send RST instead of FIN.
        no_linger = struct.pack("ii", 1, 0)
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        request.transport.abort()


async def _send_in_pieces(request: web.BaseRequest, response: Response, fault: FaultRule) -> web.StreamResponse:
    stream_response = web.StreamResponse(status=response.status, headers=response.all_headers())
    body = response.to_bytes()
    if fault.body_bytes is None:
        stream_response.content_length = len(body)
    await stream_response.prepare(request)
    for piece in _pieces(body, fault):
        await stream_response.write(piece)
        if fault.drip:
            await asyncio.sleep(fault.drip.every_ms / 1_000)
    if fault.cut == "mid_body" and request.transport:
        request.transport.close()
    return stream_response


def _pieces(body: bytes, fault: FaultRule) -> Iterator[bytes]:
    whole = len(body) if fault.body_bytes is None else fault.body_bytes
    end = whole // 2 if fault.cut == "mid_body" else whole
    size = fault.drip.bytes if fault.drip else len(_BLOCK)
    for start in range(0, end, size):
        length = min(size, end - start)
        yield _BLOCK[:length] if fault.body_bytes is not None else body[start : start + length]
