"""Shows what a test formats as on a device with other preferences."""

from collections.abc import Generator
from contextlib import contextmanager

from corral.web.display import Display, current_display, use_display

BERLIN = Display(local_zone="Europe/Berlin")
HIDING = Display(hides_amounts=True)


@contextmanager
def displaying(display: Display) -> Generator[None]:
    before = current_display()
    use_display(display)
    try:
        yield
    finally:
        use_display(before)
