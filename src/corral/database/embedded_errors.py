"""What may go wrong with the embedded database, each in one line for the person who starts Corral."""


class EmbeddedPostgresError(Exception):
    """The embedded database cannot be used. The message is one line: what happened, and what to do."""


class DataFolderInUse(EmbeddedPostgresError):  # noqa: N818 - named after the condition
    """Another `corral serve` runs on this data folder."""
