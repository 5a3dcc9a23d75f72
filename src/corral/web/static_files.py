"""The static files of the pages, read once at startup, with their gzip variants, and the version in their URLs.

A wheel has the variants, made when it was built. In a checkout they are made at startup.
"""

import gzip
import zlib
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


_COMPRESSED: Final = ".gz"
_INCOMPRESSIBLE: Final = frozenset({"image/png"})
_CHECKSUM: Final = slice(-8, -4)  # where gzip has the CRC-32 of the content


@dataclass(frozen=True, slots=True)
class StaticFile:
    content: bytes
    media_type: str
    compressed: bytes | None = None  # by gzip, where that is smaller
    etag: str = ""  # quoted; that of the compressed variant ends with `-gzip"`

    @property
    def compressed_etag(self) -> str:
        return f'{self.etag[:-1]}-gzip"'


def read_static_files(folder: Traversable) -> dict[str, StaticFile]:
    """Returns every file below `folder` by its relative path (`styles/tokens.css`).

    Raises KeyError for an unexpected file type.
    """
    found = dict(sorted(_walk(folder, "")))
    return {
        path: _static_file(
            file.read_bytes(), _MEDIA_TYPES[f".{path.rpartition('.')[2]}"], found.get(path + _COMPRESSED)
        )
        for path, file in found.items()
        if not path.endswith(_COMPRESSED)
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


def _static_file(content: bytes, media_type: str, variant: Traversable | None) -> StaticFile:
    compressed = None
    if media_type not in _INCOMPRESSIBLE:
        built = variant.read_bytes() if variant else b""
        is_current = built[_CHECKSUM] == zlib.crc32(content).to_bytes(4, "little")
        compressed = built if is_current else gzip.compress(content, mtime=0)
    is_smaller = compressed is not None and len(compressed) < len(content)
    etag = f'"{sha256(content).hexdigest()[:16]}"'
    return StaticFile(content, media_type, compressed if is_smaller else None, etag)


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
