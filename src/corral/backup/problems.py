"""What keeps a backup from being written or restored. Each is one line: what happened, and what to do."""

from corral.errors import OperatorError


class FileUnusable(OperatorError):  # noqa: N818 - a condition
    """A file cannot be written or read."""


class NotABackup(OperatorError):  # noqa: N818 - a condition
    """The file is not a whole backup, was changed, is of another keyring, or of a newer release."""


class BackupRefused(OperatorError):  # noqa: N818 - a condition
    """There is nothing to back up, or it would not be whole."""


class RestoreRefused(OperatorError):  # noqa: N818 - a condition
    """The backup is not restored here. Nothing was changed."""
