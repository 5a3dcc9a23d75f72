from collections.abc import Generator
from typing import Any

import pytest
from structlog.exceptions import DropEvent
from structlog.testing import capture_logs
from structlog.typing import EventDict

_BELOW_THE_CLIENT = ("asyncio", "aiohttp")


def _of_the_client(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Only what this client says of a call, or the libraries below it: whole services log in this process, too."""
    library = str(line.get("logger", "")).partition(".")[0]
    if library in _BELOW_THE_CLIENT or line["event"].startswith("alpaca_"):
        return line
    raise DropEvent


@pytest.fixture(name="log_lines", autouse=True)
def _log_lines() -> Generator[list[Any]]:
    """What the client logged during the test. Always on, so that nothing is printed either."""
    with capture_logs(processors=[_of_the_client]) as lines:
        yield lines
