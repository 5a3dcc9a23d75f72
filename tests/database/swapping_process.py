"""Swaps the data of folders, each in a process that is killed before another step that changes something on the disk.

`swapping_process.py FOLDER...` prints the exit status of each, and ends with the first that was not killed.
"""

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
    for step, folder in enumerate(map(Path, sys.argv[1:])):
        child = os.fork()
        if child == 0:
            swap(folder, step)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, flush=True)  # noqa: T201 - what the test reads
        if status == 0:
            return


def swap(folder: Path, left: int) -> None:
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
