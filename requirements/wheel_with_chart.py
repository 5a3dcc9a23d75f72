"""Builds as hatchling does, and refuses a distribution without the chart's library, which git does not track.

A wheel gets a gzip variant of each static file, which the service sends to browsers.

An editable installation does without: its pages show a table until `make` has fetched the library.
"""

import gzip
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from hatchling import build
from hatchling.build import (
    build_editable,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

_CHART = Path("src/corral/web/static/vendor/uplot.js")  # a build begins in the checkout's folder

_STATIC = Path("src/corral/web/static")
_COMPRESSIBLE = {".css", ".js", ".svg", ".txt"}


def build_wheel(folder: str, settings: dict[str, object] | None = None, metadata: str | None = None) -> str:
    _refuse_without_chart()
    with _compressed_static_files():
        return build.build_wheel(folder, settings, metadata)


def build_sdist(folder: str, settings: dict[str, object] | None = None) -> str:
    _refuse_without_chart()
    return build.build_sdist(folder, settings)


@contextmanager
def _compressed_static_files() -> Generator[None]:
    """The variants are in the folder only during the build, so that a checkout never has outdated ones."""
    variants = {
        file.with_name(f"{file.name}.gz"): gzip.compress(file.read_bytes(), mtime=0)
        for file in _STATIC.rglob("*")
        if file.suffix in _COMPRESSIBLE
    }
    try:
        for path, content in variants.items():
            path.write_bytes(content)
        yield
    finally:
        for path in variants:
            path.unlink(missing_ok=True)


def _refuse_without_chart() -> None:
    if not _CHART.exists():
        raise SystemExit(f"{_CHART} is missing: install npm, and build with `make wheel`, which fetches it")
