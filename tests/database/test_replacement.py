"""Data that was restored takes the place of the former data in a way that survives a crash at every step."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from corral.database.embedded import replacement
from corral.database.embedded.errors import DataFolderInUse, EmbeddedPostgresError
from corral.database.embedded.files import exclusive_serve_lock, opened_data_folder
from corral.database.embedded.instance import embedded_postgres
from corral.database.embedded.replacement import (
    STAGING,
    Move,
    begin_replacement,
    drop_staged,
    finish_replacement,
    former_data,
)
from corral.database.embedded.staging import ReplaceableFolder
from tests.journeys.program import environment
from tests.log_lines import LogSince
from tests.migrated_cluster import copy_migrated_cluster

MOMENT = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)
FORMER = "postgres.before-restore-20261124T143000Z"


def prepare(folder: Path, *, has_former: bool = True) -> Path:
    """What stands for two clusters and two keyrings."""
    folder.mkdir()
    (folder / STAGING / "postgres" / "base").mkdir(parents=True)
    (folder / STAGING / "run").mkdir()
    (folder / STAGING / "postgres" / "base" / "rows").write_text("new")
    (folder / ".keyring.new").write_text("new")
    if has_former:
        (folder / "postgres").mkdir()
        (folder / "postgres" / "rows").write_text("old")
        (folder / "keyring.json").write_text("old")
    return folder


def state(folder: Path) -> tuple[str, str]:
    """Which data there is, and which keyring."""
    current = folder / "postgres"
    data = "new" if (current / "base").exists() else "old" if (current / "rows").exists() else "none"
    keyring = folder / "keyring.json"
    return data, keyring.read_text() if keyring.exists() else "none"


@pytest.fixture
def log(log_file: Path) -> LogSince:
    return LogSince(log_file)


@pytest.fixture
async def used_folder(data_dir: Path, migrated_cluster: Path) -> Path:
    opened_data_folder(data_dir)
    await copy_migrated_cluster(migrated_cluster, data_dir)
    return data_dir


@pytest.mark.parametrize("has_former", [True, False])
def test_a_kill_at_any_step_leaves_the_former_data_or_the_new_after_the_next_start(
    has_former: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    old = ("old", "old") if has_former else ("none", "none")
    folders = [prepare(tmp_path / f"{step}", has_former=has_former) for step in range(60)]
    program = Path(__file__).with_name("swapping_process.py")
    ended = subprocess.run(
        [sys.executable, program, *folders], env=environment(), capture_output=True, text=True, check=True
    )
    *killed, last = map(int, ended.stdout.split())
    assert (set(killed), last) == ({-signal.SIGKILL}, 0)
    assert len(killed) > 10
    states: list[tuple[str, str]] = []
    for folder in folders[: len(killed) + 1]:
        finish_replacement(folder)  # as the next start does
        states.append(state(folder))
        assert not (folder / STAGING).exists()
        assert not (folder / "restore-journal.json").exists()
        if states[-1] == ("new", "new") and has_former:
            assert (folder / FORMER / "rows").read_text() == "old"
            assert (folder / "keyring.json.kept").read_text() == "old"
        assert finish_replacement(folder) is False  # and the one after it changes nothing
        assert state(folder) == states[-1]
    assert set(states) == {old, ("new", "new")}
    assert states == sorted(states, key=lambda one: one == ("new", "new")), "there is one point of no return"


def test_a_kept_folder_that_is_removed_before_the_journal_changes_nothing(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "data")
    begin_replacement(folder, MOMENT, [])
    journal = (folder / "restore-journal.json").read_bytes()
    finish_replacement(folder)
    (folder / FORMER).rename(tmp_path / "elsewhere")
    (folder / "restore-journal.json").write_bytes(journal)
    assert finish_replacement(folder)
    assert state(folder)[0] == "new"


def test_what_is_in_the_way_of_the_former_data_stops_the_replacement_and_loses_nothing(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "data")
    (folder / FORMER).mkdir()
    begin_replacement(folder, MOMENT, [])
    with pytest.raises(FileExistsError, match="in the way of the restored data"):
        finish_replacement(folder)
    drop_staged(folder)
    assert state(folder)[0] == "old"
    (folder / FORMER).rmdir()
    assert finish_replacement(folder)
    assert state(folder)[0] == "new"


@pytest.mark.parametrize("text", [b"", b"[1]", b"{", b'[["a"]]', b"\xff"])
def test_a_damaged_journal_stops_the_start(text: bytes, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "data")
    (folder / "restore-journal.json").write_bytes(text)
    with pytest.raises(EmbeddedPostgresError, match=r"restore-journal\.json is damaged"):
        finish_replacement(folder)
    assert state(folder)[0] == "old"


def test_folders_from_before_several_restores_are_found(tmp_path: Path) -> None:
    names = [f"postgres.before-restore-2026112{day}T000000Z" for day in (4, 5)]
    for name in (*reversed(names), "postgres", "postgres.new-x"):
        (tmp_path / name).mkdir()
    assert [path.name for path in former_data(tmp_path)] == names
    assert replacement.kept_beside(tmp_path / "postgres", MOMENT).name == FORMER


async def test_the_next_start_says_whether_it_finished_a_restore_or_dropped_it(
    used_folder: Path, log: LogSince
) -> None:
    data_dir = used_folder
    (data_dir / STAGING).mkdir()
    async with embedded_postgres(data_dir):
        assert await log.awaited("restore_broken_off", data_dir=str(data_dir))
    (data_dir / STAGING).mkdir(mode=0o711)
    (data_dir / "postgres").rename(data_dir / STAGING / "postgres")
    begin_replacement(data_dir, MOMENT, [Move(data_dir / "a", data_dir / "b")])
    async with embedded_postgres(data_dir):
        assert await log.awaited("restore_finished_late", data_dir=str(data_dir))
    assert not (data_dir / STAGING).exists()


async def test_a_folder_that_is_served_or_used_by_a_command_is_not_replaced(used_folder: Path) -> None:
    data_dir = used_folder
    with exclusive_serve_lock(data_dir), pytest.raises(DataFolderInUse, match="Another corral serve"):
        async with ReplaceableFolder.open(data_dir):
            pass
    async with embedded_postgres(data_dir):
        with pytest.raises(DataFolderInUse, match=r"^Another corral command is running on .*: wait until it has ended"):
            async with ReplaceableFolder.open(data_dir):
                pass


async def test_a_replacement_that_cannot_be_carried_out_says_that_the_next_start_tries_again(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ReplaceableFolder.open(data_dir) as folder:
        assert not folder.has_data
        (data_dir / STAGING / "postgres").mkdir(parents=True)

        def fails(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", fails)
            with pytest.raises(EmbeddedPostgresError, match="The next start tries again"):
                await folder.replace(MOMENT, [])
    assert (data_dir / STAGING / "postgres").exists()
    assert finish_replacement(data_dir)
    assert (data_dir / "postgres").exists()
