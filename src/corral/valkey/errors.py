"""The two conditions: Valkey can't be used for now, and it must not be used as it is configured."""

from corral.errors import OperatorError


class ValkeyAway(Exception):  # noqa: N818 - a condition
    """There is no answer. The caller does what one process does alone; nobody waits for Valkey to come back."""


class ValkeyRefused(OperatorError):  # noqa: N818 - a condition
    """The address, the server or the user's rights are wrong. One sentence: what is wrong, and what to do."""


class NoSuchScript(Exception):  # noqa: N818 - a condition
    """The server does not have the script: it was started anew, flushed, or is another one since a fail-over."""
