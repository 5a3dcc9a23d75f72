"""The log lines since a given time: an expected error, a value that must not be there."""

import asyncio
from pathlib import Path
from typing import Any

import orjson


class LogSince:
    """The run's log from now on. Lines are written unbuffered, so what happened is there."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._begin = file.stat().st_size

    def text(self) -> str:
        with self._file.open("rb") as stream:
            stream.seek(self._begin)
            return stream.read().decode()

    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.text().splitlines()]

    async def awaited(self, event: str, **fields: object) -> dict[str, Any]:
        """The first line of this event with these fields. A request's is written when its answer is on its way."""
        async with asyncio.timeout(60):
            while True:
                for line in self.lines():
                    if line["event"] == event and fields.items() <= line.items():
                        return line
                await asyncio.sleep(0.01)

    def alarms(self, event: str) -> list[dict[str, Any]]:
        """Error lines of this event."""
        return [line for line in self.lines() if (line["event"], line["level"]) == (event, "error")]
