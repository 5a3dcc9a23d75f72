"""The keyring beside a backup: which one is used for a restore, and how its copy gets to its place."""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self, final

from corral.backup.files import new_file
from corral.backup.problems import FileUnusable, RestoreRefused
from corral.database.embedded.cluster import sync_folder
from corral.database.embedded.replacement import Move, kept_beside
from corral.vault import Keyring, KeyringMissing, KeyringRefused, load_keyring, read_keyring_file


@dataclass(frozen=True, slots=True)
class ChosenKeyring:
    """`installed` is the text of the file that has to be written to `place`; None if the right one is there."""

    keyring: Keyring
    place: Path
    installed: bytes | None = field(default=None, repr=False)


def choose_keyring(place: Path, copy: Path | None, *, may_replace: bool) -> ChosenKeyring:
    """Reads the copy, or what is in its place. Raises KeyringRefused and RestoreRefused."""
    if copy is None:
        try:
            return ChosenKeyring(load_keyring(place), place)
        except KeyringMissing:
            raise KeyringMissing(f"there is no keyring at {place}: name its copy with --keyring FILE") from None
    given = read_keyring_file(copy, is_private=False)
    if not os.path.lexists(place):
        return ChosenKeyring(given.keyring, place, given.text)
    if _is_same(place, given.text):
        return ChosenKeyring(load_keyring(place), place)
    if not may_replace:
        raise RestoreRefused(
            f"another keyring than {copy} is at {place}, and may open other data: with --replace it is kept beside "
            "under another name"
        )
    return ChosenKeyring(given.keyring, place, given.text)


def _is_same(place: Path, text: bytes) -> bool:
    try:
        return read_keyring_file(place, is_private=False).text == text
    except KeyringRefused:
        return False


@final
class StagedKeyring:
    """A copy on the same file system as its place, which needs only renames to get there."""

    def __init__(self, moves: list[Move]) -> None:
        self.moves = moves
        self.is_left = False  # the staged file belongs to whoever carries out the moves

    @classmethod
    @contextmanager
    def of(cls, chosen: ChosenKeyring, moment: datetime) -> Generator[Self]:
        """Raises FileUnusable. Removes the staged file at the end, unless it was moved or left."""
        if chosen.installed is None:
            yield cls([])
            return
        place = chosen.place
        draft = place.with_name(f".{place.name}.{secrets.token_hex(4)}.new")
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise FileUnusable(f"the keyring's folder {place.parent} cannot be made: {error.strerror}") from None
        with new_file(draft) as file:
            file.write(chosen.installed)
        staged = cls([Move(place, kept_beside(place, moment)), Move(draft, place)])
        try:
            yield staged
        finally:
            if not staged.is_left:
                draft.unlink(missing_ok=True)

    @property
    def kept(self) -> Path | None:
        """The former keyring, if there was one."""
        return self.moves[0].target if self.moves and self.moves[0].target.exists() else None

    def install(self) -> None:
        for move in self.moves:
            if os.path.lexists(move.source):
                move.source.rename(move.target)
                sync_folder(move.target.parent)

    def take_back(self) -> None:
        """Undoes what `install` did, as far as it got."""
        for move in reversed(self.moves):
            if os.path.lexists(move.target) and not os.path.lexists(move.source):
                move.target.rename(move.source)
