"""What a grant is for."""

from enum import StrEnum


class Access(StrEnum):
    """`read` sees, `close_only` sees, cancels orders and closes positions, and `trade` does all that is allowed.

    Each includes those before it.
    """

    READ = "read"
    CLOSE_ONLY = "close_only"
    TRADE = "trade"

    def includes(self, other: "Access") -> bool:
        order = list(Access)
        return order.index(self) >= order.index(other)
