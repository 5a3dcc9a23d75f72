"""What commands print: results on standard output, progress on a terminal only."""

import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress

out: Final = Console(highlight=False, soft_wrap=True)
err: Final = Console(highlight=False, stderr=True)


def say_that_first_start_takes_long(data_dir: Path) -> None:
    """For a person who waits while the embedded database is created."""
    if sys.stderr.isatty() and not (data_dir / "postgres").exists():
        sys.stderr.write("Creating the database. The first start takes a few seconds …\n")


def progress() -> Progress:
    """Nothing where nobody watches."""
    return Progress(console=err, transient=True, disable=not err.is_terminal)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
