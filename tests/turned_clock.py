"""`pytest --at 2026-11-28T12:00-05:00`: what knows a calendar, at another moment than now.

The sandboxes of the tests begin at that moment. In `tests/sandbox`, where nothing else keeps time, the whole process
does. The database, sessions and programs of their own keep to the real time.
"""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime

import time_machine

_turned_to: datetime | None = None


def turn_clock(moment: str | None) -> None:
    """For the run that begins. The moment has an offset."""
    global _turned_to  # noqa: PLW0603 - set once, by the option
    _turned_to = None if moment is None else datetime.fromisoformat(moment)


def start_of_sandboxes() -> datetime | None:
    """Where the clocks of sandboxes begin; None: now."""
    return _turned_to


@contextmanager
def turned_process() -> Generator[None]:
    if _turned_to is None:
        yield
    else:
        with time_machine.travel(_turned_to, tick=True):
            yield
