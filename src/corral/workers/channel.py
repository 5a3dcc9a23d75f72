"""What the supervisor and a worker say to each other: lines of JSON over a pair of sockets.

The settings go this way because arguments and the environment of a process can be read by others. The end of the
stream tells each side that the other is gone, however it ended.
"""

import asyncio
import socket
from contextlib import suppress
from typing import Literal, Self, final

from pydantic import BaseModel, ConfigDict, SecretStr

from corral.settings import Settings

_LONGEST_LINE = 1024 * 1024


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkerOrder(_Message):
    """The first message to a worker. `listener`, `counts` and `lock` are descriptors that it inherits.

    `settings` holds a value for every field: a worker reads nothing of the environment. `connections` is the size of
    its pool.
    """

    version: str
    worker: int
    workers: int
    settings: dict[str, str | int | float | None]
    connections: int
    log_format: Literal["console", "json"]
    has_colors: bool
    listener: int
    counts: int
    lock: int | None


class Command(_Message):
    """`drain`: say that you are not ready, and end in order. `hurry`: do not wait for load balancers."""

    command: Literal["drain", "hurry"]


class Report(_Message):
    """`alive` comes every second, also during the start. `detail` is an address, or the reason of a failure."""

    state: Literal["alive", "serving", "leaving", "failed"]
    detail: str = ""


def handed_over(settings: Settings) -> dict[str, str | int | float | None]:
    """Returns the settings with their secrets, but without the owner's address, which workers do not need."""
    values = {name: getattr(settings, name) for name in Settings.model_fields} | {"database_owner_url": None}
    return {
        name: value.get_secret_value()
        if isinstance(value, SecretStr)
        else value
        if isinstance(value, int | float | None)
        else str(value)
        for name, value in values.items()
    }


@final
class Channel:
    """One end. A message that the other side is not there to read is dropped."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Self:
        return cls(*await asyncio.open_unix_connection(sock=end, limit=_LONGEST_LINE))

    def send(self, message: _Message) -> None:
        if not self._writer.is_closing():
            self._writer.write(message.model_dump_json().encode() + b"\n")

    async def receive(self) -> bytes:
        """Returns the next line, and nothing once the other side is gone."""
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return b""
        return line if line.endswith(b"\n") else b""

    async def close(self) -> None:
        """Sends what waits."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
