"""Builds as hatchling does, and refuses a distribution without the chart's library, which git does not track.

An editable installation does without: its pages show a table until `make` has fetched the library.
"""

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


def build_wheel(folder: str, settings: dict[str, object] | None = None, metadata: str | None = None) -> str:
    _refuse_without_chart()
    return build.build_wheel(folder, settings, metadata)


def build_sdist(folder: str, settings: dict[str, object] | None = None) -> str:
    _refuse_without_chart()
    return build.build_sdist(folder, settings)


def _refuse_without_chart() -> None:
    if not _CHART.exists():
        raise SystemExit(f"{_CHART} is missing: install npm, and build with `make wheel`, which fetches it")
