"""What the recorded clients sent, as the gateway gets it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tests.clients import recordings

_PLACE: Final = re.compile(r"\{\{([^{}]*)\}\}")
_SOME_ID: Final = str(UUID(int=0x904837E33B7647ECB432046DB621571B))
_SOME_OPTION: Final = "AAPL261218C00250000"


CLIENTS: Final = sorted(file.stem for file in recordings.FOLDER.glob("*.jsonl"))


@dataclass(frozen=True, slots=True)
class Recorded:
    method: str
    target: bytes
    body: bytes


def recorded(client: str) -> Iterator[Recorded]:
    for line in recordings.read(client):
        if "method" in line:
            path = _filled_in(line["path"].removeprefix("/paper"))
            body = _filled_in(json.dumps(line["body"])) if "body" in line else ""
            yield Recorded(line["method"], path.encode(), body.encode())


def _filled_in(text: str) -> str:
    return _PLACE.sub(lambda found: _SOME_OPTION if found[1].endswith("symbol") else _SOME_ID, text)
