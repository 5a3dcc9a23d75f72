"""How a lenient server may read a target: it decodes escapes, then collapses slashes, resolves dots and splits."""

import posixpath
import re
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from corral.gateway.operations import OPERATIONS


def lenient_operation(method: str, target: str) -> tuple[str | None, list[tuple[str, str]]]:
    """Returns the operation's name, if there is exactly one, and the query."""
    parts = urlsplit(f"https://alpaca.example{target}")
    path = posixpath.normpath(re.sub(r"/{2,}", "/", unquote(unquote(parts.path)).replace("\\", "/")))
    found = [name for name, known in _PATHS if name.startswith(f"{method} ") and known.fullmatch(path)]
    plain = [name for name in found if "{" not in name]
    [name] = plain or found if len(plain or found) == 1 else [None]
    return name, parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))


def _pattern(path: str) -> re.Pattern[str]:
    """A parameter that may have two coins has their slash."""
    parameters = re.sub(r"\\\{\w*symbol\w*\\\}", "[^/]+(?:/[^/]+)?", re.escape(path))
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", parameters))


_PATHS: Final = [(operation.name, _pattern(operation.path)) for operation in OPERATIONS]
