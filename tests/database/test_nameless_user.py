"""The embedded database of a user id without an entry in /etc/passwd, as containers are run with."""

import os
import subprocess
from pathlib import Path

import pytest

from corral.database.embedded import nameless_user
from corral.database.embedded.os_user import OsUser, own_user
from tests.database.processes import USES_IT, run_as
from tests.machine import NSS_WRAPPER, ROOT

NUMBER, ANOTHER = 54_321, 765_432
NAMELESS = OsUser(nameless_user.NAME, os.geteuid(), os.getegid(), has_entry=False)


@ROOT.mark
@NSS_WRAPPER.mark
def test_any_number_runs_the_database_and_another_one_goes_on_once_it_owns_the_folder(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    for number, entries in ((NUMBER, "1"), (NUMBER, "2"), (ANOTHER, "3")):
        subprocess.run(["chown", "-R", f"{number}:0", data_dir], check=True)
        assert run_as(number, USES_IT, data_dir) == entries
    assert (data_dir / "passwd").read_text() == f"corral:x:{ANOTHER}:{ANOTHER}::/:/usr/sbin/nologin\n"


@NSS_WRAPPER.mark
def test_only_programs_of_postgresql_get_the_name_and_only_from_files_of_ours(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/somebody/elses.so")
    monkeypatch.setenv("NSS_WRAPPER_PASSWD", "/somebody/elses")
    user = NAMELESS.known_in(open_folder)
    seen = user.run("/usr/bin/env").stdout
    assert f"LD_PRELOAD={nameless_user.library()}\n" in seen
    assert "/somebody" not in seen
    assert user.run("/usr/bin/id", "-un").stdout == "corral\n"
    assert "NSS_WRAPPER" not in own_user().run("/usr/bin/env").stdout
    assert os.environ["NSS_WRAPPER_PASSWD"] == "/somebody/elses"


def test_files_that_are_right_stay_as_they_are_because_a_server_reads_them(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nameless_user, "library", lambda: Path("/usr/lib/libnss_wrapper.so"))
    NAMELESS.known_in(open_folder)
    before = {path.name: path.stat().st_ino for path in open_folder.iterdir()}
    NAMELESS.known_in(open_folder)
    assert {path.name: path.stat().st_ino for path in open_folder.iterdir()} == before
    assert {path.stat().st_mode & 0o777 for path in open_folder.iterdir()} == {0o600}
    (open_folder / "passwd").unlink()
    (open_folder / "passwd").symlink_to("/etc/passwd")
    NAMELESS.known_in(open_folder)
    assert not (open_folder / "passwd").is_symlink()


def test_a_user_with_an_entry_needs_no_files(open_folder: Path) -> None:
    user = own_user()
    assert user.known_in(open_folder) is user
    assert list(open_folder.iterdir()) == []


def test_without_an_entry_a_user_keeps_its_numbers_and_is_named_by_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nameless_user, "library", lambda: Path("/usr/lib/libnss_wrapper.so"))
    monkeypatch.setattr(os, "geteuid", lambda: NUMBER)
    monkeypatch.setattr(os, "getegid", lambda: ANOTHER)
    assert own_user() == OsUser("corral", NUMBER, ANOTHER, has_entry=False)
