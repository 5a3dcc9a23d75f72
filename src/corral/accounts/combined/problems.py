"""Problems of reading several accounts at once."""

from corral.errors import Problem


class ItemsSkipped(Problem):
    """This account could not be read for an earlier page, so some of its items are missing. Start again to see all."""

    status, code, title = 409, "items_skipped", "Some items skipped"
