"""Lists that Alpaca gives out page by page."""

from enum import StrEnum


class Direction(StrEnum):
    """By time: the newest first, or the oldest."""

    DESCENDING = "desc"
    ASCENDING = "asc"
