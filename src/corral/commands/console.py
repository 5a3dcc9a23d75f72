"""Standard output, as every command writes to it."""

from typing import Final

from rich.console import Console

out: Final = Console(highlight=False, soft_wrap=True)
