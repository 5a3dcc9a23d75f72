"""A name for a user id that has no entry in /etc/passwd, which is how many containers are run.

initdb and PostgreSQL look up the name of the user they run as, and peer authentication that of each client. The library
nss_wrapper answers these look-ups from two files. Only PostgreSQL's processes load it, so commands that are started in
a running container need no preparation, and the process that holds the keyring loads nothing foreign.
"""

import os
import platform
from pathlib import Path
from typing import Final

NAME: Final = "corral"

_FILE: Final = "libnss_wrapper.so"
# Debian's folder, and those of other distributions. Never from a variable: whoever set it would change PostgreSQL.
_LIBRARIES: Final = tuple(
    Path(folder, _FILE) for folder in (f"/usr/lib/{platform.machine()}-linux-gnu", "/usr/lib64", "/usr/lib")
)


def library() -> Path | None:
    """Returns the library, or None if it is not installed."""
    return next((path for path in _LIBRARIES if path.is_file()), None)


def write_entries(folder: Path, uid: int, gid: int) -> dict[str, str]:
    """Writes the two files into `folder`. Returns the variables with which PostgreSQL's programs use them.

    Files that are right already stay as they are, because a running server reads them. Raises OSError.
    """
    passwd, group = folder / "passwd", folder / "group"
    _write(passwd, f"{NAME}:x:{uid}:{gid}::/:/usr/sbin/nologin\n")
    _write(group, f"{NAME}:x:{gid}:\n")
    return {"LD_PRELOAD": str(library()), "NSS_WRAPPER_PASSWD": str(passwd), "NSS_WRAPPER_GROUP": str(group)}


def _write(path: Path, text: str) -> None:
    if path.is_file() and path.read_text() == text:
        return
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    draft.replace(path)
