"""Chooses between a file and its gzip variant by Accept-Encoding and If-None-Match (RFC 9110).

For public files alone. A compressed answer with an account's data would tell an attacker who can add text to it what
else is in it, by its length (BREACH).
"""

from contextlib import suppress


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether the client takes gzip, and likes it as much as the plain file."""
    if accept_encoding is None:
        return False
    qualities = dict(map(_quality, accept_encoding.lower().split(",")))
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has the variant with this quoted tag. Tags are compared weakly, as for every GET."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}


def _quality(element: str) -> tuple[str, float]:
    """`gzip;q=0.5` is ("gzip", 0.5). A quality that cannot be read counts as 0."""
    coding, *parameters = (part.strip() for part in element.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            with suppress(ValueError):
                quality = float(value)
                return coding, quality if 0 <= quality <= 1 else 0.0
            return coding, 0.0
    return coding, 1.0
