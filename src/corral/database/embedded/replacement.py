"""Replaces the data of the embedded database by data that was built beside it, in a way that survives a crash.

What has to be renamed is first written to a journal. Until the journal is there, nothing has happened; from then on,
whoever opens the data folder next carries out what is left. So there is the former data or the new data, never neither
and never half of it. The former data is kept until the new one has been served.
"""

import errno
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from corral.database.embedded.cluster import sync_folder
from corral.database.embedded.errors import EmbeddedPostgresError
from corral.logs import get_logger

# A data folder within the data folder; the beginning of its name is that of what an interrupted start leaves behind.
STAGING: Final = "postgres.new-restored"
_KEPT: Final = "before-restore-"
_JOURNAL: Final = "restore-journal.json"

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Move:
    """A rename within one file system, to a name that is free by then."""

    source: Path
    target: Path


def kept_beside(path: Path, moment: datetime) -> Path:
    """Returns the name under which a file or folder is kept that a restore at this moment replaces."""
    return path.with_name(f"{path.name}.{_KEPT}{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}")


def begin_replacement(data_dir: Path, moment: datetime, further: Sequence[Move]) -> None:
    """The point of no return: from now on, the staged data is the data. `finish_replacement` has to follow.

    `further` moves, such as those of the keyring, take place before the staged data is in its place.
    """
    current = data_dir / "postgres"
    wanted = [Move(current, kept_beside(current, moment)), *further, Move(data_dir / STAGING / "postgres", current)]
    # What is not there now must not be moved when it is repeated, because its name is that of something new by then.
    moves = [move for move in wanted if os.path.lexists(move.source)]
    draft = data_dir / f"{_JOURNAL}.new"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(orjson.dumps([[os.fspath(move.source), os.fspath(move.target)] for move in moves]))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(data_dir / _JOURNAL)
    sync_folder(data_dir)


def finish_replacement(data_dir: Path) -> bool:
    """Carries out what the journal says, and returns whether there was one. Can be interrupted anywhere and repeated.

    To be called while no process uses the database. Without a journal, what was staged is dropped: that restore was
    broken off, and the data is as before.
    """
    staging = data_dir / STAGING
    moves = _read_journal(data_dir / _JOURNAL)
    if moves:
        _carry_out(moves)
        (data_dir / _JOURNAL).unlink()
        sync_folder(data_dir)
    elif staging.exists():
        _log.warning("restore_broken_off", data_dir=str(data_dir))
    shutil.rmtree(staging, ignore_errors=True)
    return bool(moves)


def drop_staged(data_dir: Path) -> None:
    """Unless it is the data by now."""
    if not (data_dir / _JOURNAL).exists():
        shutil.rmtree(data_dir / STAGING, ignore_errors=True)


def report_finished(data_dir: Path) -> None:
    """For a start that found a journal, in place of the command that wrote it."""
    _log.warning("restore_finished_late", data_dir=str(data_dir))


def former_data(data_dir: Path) -> list[Path]:
    """Returns the folders with the data from before restores, the oldest first."""
    return sorted(data_dir.glob(f"postgres.{_KEPT}*"))


def _carry_out(moves: Sequence[Move]) -> None:
    """A source that is gone was moved. So was one whose target is there: what is at its place now came later.

    When the last one is done, all are.
    """
    if not os.path.lexists(moves[-1].source):
        return
    for move in moves:
        if os.path.lexists(move.source) and not os.path.lexists(move.target):
            move.source.rename(move.target)
            sync_folder(move.source.parent)
            sync_folder(move.target.parent)
    if os.path.lexists(moves[-1].source):
        raise FileExistsError(errno.EEXIST, "a file is in the way of the restored data", os.fspath(moves[0].target))


def _read_journal(journal: Path) -> list[Move]:
    try:
        listed: list[Any] = orjson.loads(journal.read_bytes())
        return [Move(Path(source), Path(target)) for source, target in listed]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError):
        raise EmbeddedPostgresError(
            f"{journal} is damaged, so it is not known which data is the current one: move the right postgres folder"
            f" to {journal.with_name('postgres')}, and remove this file."
        ) from None
