"""The deliberate breakages: what is spoilt where, and which tests must notice."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TREE = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Change:
    """`find` stands in `file` exactly once, and `replace` takes its place."""

    file: str
    find: str
    replace: str

    def times_found(self, tree: Path) -> int:
        path = tree / self.file
        return path.read_text(encoding="utf-8").count(self.find) if path.is_file() else 0

    def applied(self, tree: Path) -> str:
        return (tree / self.file).read_text(encoding="utf-8").replace(self.find, self.replace)


@dataclass(frozen=True, slots=True)
class Breakage:
    """`fails` are tests, as pytest names them; each of them must fail while the changes are made."""

    name: str
    changes: tuple[Change, ...]
    fails: tuple[str, ...]
    is_quick: bool  # one that the suite itself tries

    def __str__(self) -> str:
        return self.name

    def why_not_applicable(self, tree: Path = TREE) -> str | None:
        """In a sentence; None for one that can be applied."""
        for change in self.changes:
            times = change.times_found(tree)
            if times != 1:
                return f"{change.file} has the snippet {times} times: {change.find.strip().splitlines()[0]}"
        return None


def load_breakages() -> Sequence[Breakage]:
    """All of them, by file and as they stand there."""
    documents = [
        tomllib.loads(file.read_text(encoding="utf-8")) for file in sorted(Path(__file__).parent.glob("*.toml"))
    ]
    return [_breakage(entry) for document in documents for entry in document["breakage"]]


def _breakage(entry: dict[str, Any]) -> Breakage:
    changes = [Change(one["file"], one["find"], one["replace"]) for one in (entry, *entry.get("also", ()))]
    return Breakage(entry["name"], tuple(changes), tuple(entry["fails"]), entry.get("quick", False))
