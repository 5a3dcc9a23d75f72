"""Errors of the embedded PostgreSQL."""

from corral.errors import OperatorError


class EmbeddedPostgresError(OperatorError):
    """The embedded database cannot be used. The message is one line: what happened, and what to do."""


class DataFolderInUse(EmbeddedPostgresError):  # noqa: N818 - named after the condition
    """Another `corral serve` runs on this data folder."""
