"""What the scripts of a page weigh on their way to a browser: each file compressed, and all that they import."""

import gzip
import re
from collections.abc import Iterable
from posixpath import join, normpath

from corral.web.static_files import STATIC_FILES, STATIC_PATH

_NAMED = re.compile(r'<script[^>]* src="([^"]+)"')
_IMPORTED = re.compile(r'(?:from|import)\s*\(?\s*"(\.[^"]+)"')


def script_bytes(html: str) -> int:
    """Returns the sum over the page's module graph, each file by `gzip -9`."""
    return sum(len(gzip.compress(STATIC_FILES[path].content, 9)) for path in script_paths(html))


def script_paths(html: str) -> set[str]:
    """Returns the scripts that the page names and all that those import, by their paths below `static/`."""
    found: set[str] = set()
    to_read = [path.removeprefix(f"{STATIC_PATH}/") for path in _NAMED.findall(html)]
    while to_read:
        path = to_read.pop()
        if path not in found:
            found.add(path)
            to_read += _imports_of(path)
    return found


def _imports_of(path: str) -> Iterable[str]:
    source = STATIC_FILES[path].content.decode()
    return [normpath(join(path, "..", name)) for name in _IMPORTED.findall(source)]
