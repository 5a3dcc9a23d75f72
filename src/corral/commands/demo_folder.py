"""The demo's own data folder, marked so that real and sandbox keys are never mixed in one."""

import os
from pathlib import Path
from typing import Final

from corral.database.embedded.files import opened_data_folder
from corral.database.embedded.os_user import postgres_user
from corral.errors import OperatorError
from corral.settings import absolute

_MARK: Final = "SANDBOX"

# When root's database user cannot reach the current folder (below /root, say), the demo goes where it can.
_FOLDER_OF_ROOT: Final = Path("/var/lib/corral-demo")


class MixedUp(OperatorError):  # noqa: N818 - a condition
    """Real and sandbox data would be mixed in this folder. One line that says what to do."""


def demo_folder(chosen: Path | None) -> Path:
    """Returns the folder, made and marked. Raises MixedUp."""
    folder = absolute(chosen) if chosen else _default_folder()
    mark = folder / _MARK
    # The keyring of real data may be elsewhere, so a database alone counts, too.
    if not mark.exists() and any((folder / name).exists() for name in ("keyring.json", "postgres")):
        raise MixedUp(f"{folder} contains real data, which the demo never touches: choose another --data-dir")
    try:
        opened_data_folder(folder)
        mark.write_text("This data belongs to `corral demo`: sandbox accounts only.\n", encoding="utf-8")
    except OSError as error:
        raise MixedUp(f"{folder} cannot hold the demo's data ({error.strerror}): choose another --data-dir") from None
    return folder


def refuse_demo_folder(folder: Path) -> None:
    """Raises MixedUp. A folder that this user cannot enter is refused where the database is opened."""
    if os.path.exists(folder / _MARK):  # noqa: PTH110 - unlike Path.exists, False where it may not look
        raise MixedUp(f"{folder} contains the demo's SANDBOX data: choose another --data-dir for real accounts")


def _default_folder() -> Path:
    here = Path.cwd()
    if os.geteuid() == 0 and postgres_user().first_barred(here) is not None:
        return _FOLDER_OF_ROOT
    return here / ".corral-demo"
