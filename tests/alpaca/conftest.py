from collections.abc import Generator
from typing import Any

import pytest
from structlog.exceptions import DropEvent
from structlog.testing import capture_logs
from structlog.typing import EventDict


def _of_the_client(_logger: object, _method: str, line: EventDict) -> EventDict:
    """The run's service lives in this process, too, and logs by the clock: heads of the audit trail, for one."""
    if line["event"].startswith("audit_"):
        raise DropEvent
    return line


@pytest.fixture(name="log_lines", autouse=True)
def _log_lines() -> Generator[list[Any]]:
    """What was logged during the test, but for the audit trail. Always on, so that nothing is printed either."""
    with capture_logs(processors=[_of_the_client]) as lines:
        yield lines
