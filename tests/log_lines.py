"""What was logged since a moment: an alarm that has to be there, a value that must not."""

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

    def alarms(self, event: str) -> list[dict[str, Any]]:
        """Error lines of this event."""
        lines = [orjson.loads(line) for line in self.text().splitlines()]
        return [line for line in lines if (line["event"], line["level"]) == (event, "error")]
