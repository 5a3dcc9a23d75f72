"""Swaps the data of a folder, and kills itself before the Nth step that changes something on the disk."""

import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from corral.database.embedded.replacement import Move, begin_replacement, finish_replacement

_STEPS = ("rename", "replace", "fsync", "unlink", "rmdir")


def main() -> None:
    folder, left = Path(sys.argv[1]), int(sys.argv[2])

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def take(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - those of the step
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return step(*arguments, **options)

        return take

    for name in _STEPS:
        setattr(os, name, counted(getattr(os, name)))
    keyring = folder / "keyring.json"
    further = [Move(keyring, folder / "keyring.json.kept"), Move(folder / ".keyring.new", keyring)]
    begin_replacement(folder, datetime.fromisoformat("2026-11-24T14:30:00Z"), further)
    finish_replacement(folder)


if __name__ == "__main__":
    main()
