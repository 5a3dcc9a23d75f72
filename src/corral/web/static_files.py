"""The static files of the pages, read once at startup, and the version in their URLs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

_MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    content: bytes
    media_type: str


def read_static_files(folder: Traversable) -> dict[str, StaticFile]:
    """Returns every file below `folder` by its relative path (`styles/tokens.css`).

    Raises KeyError for an unexpected file type.
    """
    return {
        path: StaticFile(file.read_bytes(), _MEDIA_TYPES[f".{path.rpartition('.')[2]}"])
        for path, file in sorted(_walk(folder, ""))
    }


def version_of(static_files: Mapping[str, StaticFile]) -> str:
    """Returns one hash of all files, 16 hexadecimal digits.

    One version for all, because scripts import each other by relative paths and have to match.
    """
    digest = sha256()
    for path, file in static_files.items():
        digest.update(f"{path}\0{len(file.content)}\0".encode())
        digest.update(file.content)
    return digest.hexdigest()[:16]


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _walk(entry, f"{path}/")
        else:
            yield path, entry


STATIC_FILES: Final = read_static_files(files("corral.web") / "static")
STATIC_VERSION: Final = version_of(STATIC_FILES)
STATIC_PATH: Final = f"/static/{STATIC_VERSION}"
HAS_CHART: Final = "vendor/uplot.js" in STATIC_FILES
