"""One connection to a feed of market data: its frames, in JSON or MessagePack."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import suppress
from typing import cast

import orjson
from aiohttp import WSMsgType, web

from corral_sandbox.stream.data_feeds import DataMessage
from corral_sandbox.stream.message_pack import Timestamp, pack, unpack
from corral_sandbox.stream.unsent import UnsentFrames

_MAX_MESSAGE_BYTES = 1_048_576
_MAX_UNSENT = 1_000  # frames; a client that is further behind is disconnected
_MESSAGES_IN_A_FRAME = 500  # so that a frame stays below the 1 MiB that clients accept
_HEARTBEAT_SECONDS = 30
_MESSAGE_PACK, _JSON = "application/msgpack", "application/json"
_JSON_BEGINS = (b"{", b"[")


class DataSocket:
    """Sends from a task of its own, so that a publisher never waits for a slow client.

    It writes what the handshake's Content-Type asks for, MessagePack in binary frames or JSON in text frames, and reads
    both in any frame: one of Alpaca's SDKs sends JSON in binary ones.
    """

    def __init__(self, request: web.BaseRequest, *, is_packed_by_default: bool) -> None:
        self._request = request
        self._web_socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_SECONDS, max_msg_size=_MAX_MESSAGE_BYTES, compress=False
        )
        self.unsent = UnsentFrames(request, _MAX_UNSENT)
        content_type = request.headers.get("Content-Type", "")
        self.is_packed = content_type.startswith(_MESSAGE_PACK) or (is_packed_by_default and _JSON not in content_type)

    async def open(self) -> web.StreamResponse:
        await self._web_socket.prepare(self._request)
        return self._web_socket

    async def messages(self) -> AsyncGenerator[tuple[dict[str, object] | None, bool]]:
        """Yields each message, None for one that cannot be read, and whether it is JSON."""
        async for frame in self._web_socket:
            if frame.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                content = frame.data.encode() if isinstance(frame.data, str) else bytes(frame.data)
                yield _read(content)

    def send_control(self, **fields: object) -> None:
        """Sends a control message, which always comes alone."""
        self._send([DataMessage(0, fields)])

    def send_data(self, messages: Iterable[DataMessage]) -> None:
        due = list(messages)
        for first in range(0, len(due), _MESSAGES_IN_A_FRAME):
            self._send(due[first : first + _MESSAGES_IN_A_FRAME])

    async def send_all(self) -> None:
        """Sends what there is to send until it is canceled."""
        while True:
            frame = await self.unsent.get()
            try:
                await self._send_frame(frame)
            finally:
                self.unsent.note_sent()

    async def _send_frame(self, frame: bytes) -> None:
        with suppress(ConnectionError):  # the client has disconnected
            await (self._web_socket.send_bytes(frame) if self.is_packed else self._web_socket.send_str(frame.decode()))

    async def close(self) -> None:
        """Closes after everything has been sent."""
        await self.unsent.wait_until_sent()
        await self._web_socket.close()

    def _send(self, messages: Sequence[DataMessage]) -> None:
        self.unsent.put(_packed(messages) if self.is_packed else _json(messages))


def _packed(messages: Sequence[DataMessage]) -> bytes:
    return pack([{**each.fields, "t": Timestamp(each.at)} if "t" in each.fields else each.fields for each in messages])


def _json(messages: Sequence[DataMessage]) -> bytes:
    return orjson.dumps([each.fields for each in messages])


def _read(content: bytes) -> tuple[dict[str, object] | None, bool]:
    is_json = content.lstrip()[:1] in _JSON_BEGINS
    try:
        message = orjson.loads(content) if is_json else unpack(content)
    except ValueError:
        message = None
    return cast("dict[str, object]", message) if isinstance(message, dict) else None, is_json
