"""The system user that PostgreSQL runs as: that of the process, or `corral-db` for root.

PostgreSQL refuses to run as root, so that a flaw in it does not compromise the whole machine.
Therefore everything inside the cluster's folder is written as that user, too: root follows no
path that the database's user could have replaced by a link.
"""

import os
import pwd
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from corral.database.embedded import nameless_user
from corral.database.embedded.errors import EmbeddedPostgresError

SYSTEM_USER = "corral-db"

# Not inherited: PG* variables would redirect PostgreSQL, LD_PRELOAD would change it, and it must not
# see Corral's settings.
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class OsUser:
    name: str
    uid: int
    gid: int
    has_entry: bool = True  # in /etc/passwd
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    def known_in(self, folder: Path) -> Self:
        """Returns the user as programs of PostgreSQL can look it up: without an entry, by files in this folder."""
        if self.has_entry:
            return self
        return replace(self, variables=nameless_user.write_entries(folder, self.uid, self.gid))

    def run(self, *command: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a command to its end as this user, in a session of its own (no terminal's Ctrl-C reaches it)."""
        is_other = self.uid != os.geteuid()
        return subprocess.run(  # noqa: S603 - no shell, and every argument is ours
            command,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
            cwd="/",
            env={**_ENVIRONMENT, **self.variables},
            umask=0o077,
            start_new_session=True,
            user=self.uid if is_other else None,
            group=self.gid if is_other else None,
            extra_groups=[] if is_other else None,
        )

    def first_barred(self, path: Path) -> Path | None:
        """Returns the first component of `path`, from the root down, that this user cannot access or execute.

        Determined by trying, because modes are not enough (access lists, security modules, mounts).
        """
        script = 'for part; do test -x "$part" || { printf %s "$part"; exit 1; }; done'
        tried = self.run("/bin/sh", "-c", script, "sh", *reversed(path.parents), path)
        return Path(tried.stdout) if tried.returncode else None

    def write(self, path: Path, text: str) -> None:
        """Writes a file (mode 0600) atomically."""
        script = 'cat > "$1.new" && mv "$1.new" "$1"'
        written = self.run("/bin/sh", "-c", script, "sh", path, stdin=text)
        if written.returncode:
            raise EmbeddedPostgresError(f"{path} cannot be written: {written.stderr.strip()}")

    def take(self, folder: Path) -> None:
        """Makes this user the owner of a folder that was just created."""
        os.chown(folder, self.uid, self.gid, follow_symlinks=False)


def own_user() -> OsUser:
    """The user that runs Corral."""
    try:
        entry = pwd.getpwuid(os.geteuid())
    except KeyError:
        return _nameless_user()
    return OsUser(entry.pw_name, entry.pw_uid, os.getegid())


def _nameless_user() -> OsUser:
    if nameless_user.library() is None:
        raise EmbeddedPostgresError(
            f"The user id {os.geteuid()} has no entry in /etc/passwd, which the embedded PostgreSQL needs: install"
            " libnss-wrapper, run Corral as a user that has an entry, or set CORRAL_DATABASE_URL to a PostgreSQL server"
            " of your own."
        )
    return OsUser(nameless_user.NAME, os.geteuid(), os.getegid(), has_entry=False)


def postgres_user() -> OsUser:
    """Returns the user that PostgreSQL runs as. As root, creates `corral-db` if it does not exist."""
    if os.geteuid() != 0:
        return own_user()
    return _system_user() or _made_system_user()


def _system_user() -> OsUser | None:
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return None
    return OsUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _made_system_user() -> OsUser:
    command = ("/usr/sbin/useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER)
    try:
        complaint = own_user().run(*command).stderr.strip()
    except FileNotFoundError:
        complaint = "there is no useradd"
    if made := _system_user():  # by this process, or at the same time by another one
        return made
    raise EmbeddedPostgresError(
        f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} could not be created ({complaint}):"
        " create it by hand, or run Corral as an ordinary user."
    )
