"""Who has an account here, and what they have made of it since the run began."""

from dataclasses import dataclass, field
from functools import lru_cache, partial

from corral.sandbox.configurations import Configurations
from corral.sandbox.opening import Account, open_account
from corral.sandbox.watchlists import Watchlist

_NEWCOMERS_KEPT = 10_000  # one that only looked falls out, and opens the same again


@dataclass(slots=True, eq=False)
class Customer:
    """`account` is as it opened; the rest is the customer's own doing, and lasts as long as the run."""

    account: Account
    configurations: Configurations = field(default_factory=Configurations)
    watchlists: dict[str, Watchlist] = field(default_factory=dict[str, Watchlist])


class Customers:
    """Remembers for good whoever came to change something."""

    def __init__(self, seed: int) -> None:
        self._known: dict[str, Customer] = {}
        self._newcomer = lru_cache(_NEWCOMERS_KEPT)(partial(_newcomer, seed))

    def look_up(self, key_id: str) -> Customer:
        return self._known.get(key_id) or self._newcomer(key_id)

    def remember(self, key_id: str) -> Customer:
        return self._known.setdefault(key_id, self.look_up(key_id))


def _newcomer(seed: int, key_id: str) -> Customer:
    return Customer(open_account(seed, key_id))
