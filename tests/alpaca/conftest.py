from collections.abc import Generator
from typing import Any

import pytest
from structlog.testing import capture_logs


@pytest.fixture(name="log_lines", autouse=True)
def _log_lines() -> Generator[list[Any]]:
    """What was logged during the test. Always on, so that nothing is printed either."""
    with capture_logs() as lines:
        yield lines
