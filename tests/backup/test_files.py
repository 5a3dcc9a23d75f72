"""A backup's file is there completely or not at all, for its owner only, and never in the place of another."""

import asyncio
import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from corral.backup.files import new_file, refuse_taken
from corral.backup.problems import FileUnusable
from tests.journeys.program import environment

# Writes more than the process may, as on a full disk, or waits to be killed halfway.
_WRITER = """
import resource, sys, time
from pathlib import Path
from corral.backup.files import new_file
from corral.backup.problems import FileUnusable
how, path = sys.argv[1:]
if how == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
try:
    with new_file(Path(path)) as file:
        for _ in range(40):
            file.write(bytes(100_000))
        file.flush()
        print("halfway", flush=True)
        time.sleep(600 if how == "waits" else 0)
except FileUnusable as error:
    print(error)
"""


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def writer(how: str, path: Path) -> list[str]:
    return [sys.executable, "-c", _WRITER, how, str(path)]


def test_a_new_file_is_private_from_its_first_byte_and_has_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    path, former = tmp_path / "corral.backup", os.umask(0)
    try:
        with new_file(path) as file:
            file.write(b"half")
            file.flush()
            (draft,) = tmp_path.iterdir()
            assert draft.name.startswith(".corral.backup.")
            assert draft.name.endswith(".partial")
            assert stat.S_IMODE(draft.stat().st_mode) == 0o600
            file.write(b" and half")
    finally:
        os.umask(former)
    assert names_in(tmp_path) == ["corral.backup"]
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"half and half", 0o600)


def test_nothing_that_is_there_is_ever_replaced(tmp_path: Path) -> None:
    taken, link = tmp_path / "taken", tmp_path / "link"
    taken.write_text("precious")
    link.symlink_to(tmp_path / "nowhere")
    for path, reason in (
        (taken, "exists already: choose another name, or move it"),
        (link, "exists already: choose another name, or move it"),
        (tmp_path, "is a folder: name a file in it"),
    ):
        with pytest.raises(FileUnusable, match=f"^{path} {reason}$"):
            refuse_taken(path)
    path = tmp_path / "raced"
    with pytest.raises(FileUnusable, match="cannot be written: file exists"), new_file(path) as file:  # noqa: PT012
        file.write(b"late")
        path.write_text("was faster")
    assert (path.read_text(), taken.read_text()) == ("was faster", "precious")
    assert names_in(tmp_path) == ["link", "raced", "taken"]


def test_a_folder_that_is_missing_or_may_not_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "none" / "corral.backup"
    with pytest.raises(FileUnusable, match=f"^{path} cannot be written: there is no folder {path.parent}$"):
        refuse_taken(path)
    monkeypatch.setattr(os, "access", _denied)  # root may write everywhere
    with pytest.raises(FileUnusable, match="cannot be written: permission denied"):
        refuse_taken(tmp_path / "corral.backup")


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "corral.backup"
    ended = subprocess.run(writer("full", path), env=environment(), capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == (f"{path} cannot be written: file too large\n", "")
    assert names_in(tmp_path) == []


async def test_a_writer_that_is_killed_leaves_no_file_of_this_name(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *writer("waits", tmp_path / "corral.backup"), env=environment(), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"halfway\n"
    process.send_signal(signal.SIGKILL)
    await process.wait()
    (left,) = names_in(tmp_path)
    assert left.endswith(".partial")


def test_an_error_or_a_signal_in_between_leaves_nothing(tmp_path: Path) -> None:
    for error in (ValueError, asyncio.CancelledError, KeyboardInterrupt):
        with pytest.raises(error), new_file(tmp_path / "corral.backup") as file:  # noqa: PT012
            file.write(b"half")
            raise error
    assert names_in(tmp_path) == []


def test_a_disk_that_fails_at_the_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fails)
    path = tmp_path / "corral.backup"
    with pytest.raises(FileUnusable, match="cannot be written: input/output error"), new_file(path) as file:
        file.write(b"text")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("is_raced", [False, True])
def test_a_file_system_without_links_is_as_good(
    is_raced: bool,  # noqa: FBT001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as that of most USB sticks."""
    path = tmp_path / "corral.backup"

    def has_none(*_: object) -> None:
        if is_raced:
            path.write_text("was faster")
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", has_none)
    if is_raced:
        with pytest.raises(FileUnusable, match="exists already"), new_file(path) as file:
            file.write(b"late")
        assert path.read_text() == "was faster"
    else:
        with new_file(path) as file:
            file.write(b"text")
        assert path.read_bytes() == b"text"
    assert names_in(tmp_path) == ["corral.backup"]


def _denied(*_: object) -> bool:
    return False
