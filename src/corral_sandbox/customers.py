"""Who has an account here, and what they have made of it since the run began."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

from corral_sandbox.book import Book
from corral_sandbox.configurations import Configurations, opening_configurations
from corral_sandbox.margin import Worth
from corral_sandbox.opening import Account, open_account
from corral_sandbox.watchlists import Watchlists
from corral_sandbox.worth import worth_at, worth_of

_NEWCOMERS_KEPT = 10_000  # one that only looked falls out, and opens the same again


@dataclass(slots=True, eq=False)
class Customer:
    """`opened` is the account as it opened, `account` the same under the customer's configurations.

    All but `opened` is the customer's own doing, and lasts as long as the run.
    """

    opened: Account
    account: Account
    configurations: Configurations
    watchlists: Watchlists
    _book: Book | None = None

    @property
    def book(self) -> Book:
        if self._book is None:
            self._book = Book(self.account)
        return self._book

    @property
    def has_ordered(self) -> bool:
        return self._book is not None and not self._book.has_opened_only

    def worth_at(self, at: int) -> Worth:
        """Answers the worth at a moment, in nanoseconds since 1970, to which the book has been advanced."""
        if not self.has_ordered:
            return worth_at(self.account, at)
        return worth_of(self.account.seed, self.book.ledger.state_at(at), at)


class Customers:
    """Remembers for good whoever came to change something. `on_due` is told whose book has something due."""

    def __init__(self, seed: int, on_due: Callable[[Book], None] | None = None) -> None:
        self._on_due = on_due
        self._known: dict[str, Customer] = {}
        self._newcomer = lru_cache(_NEWCOMERS_KEPT)(partial(_newcomer, seed))

    def look_up(self, key_id: str) -> Customer:
        return self._known.get(key_id) or self._newcomer(key_id)

    def remember(self, key_id: str) -> Customer:
        customer = self._known.setdefault(key_id, self.look_up(key_id))
        customer.book.on_change = self._on_due
        return customer


def _newcomer(seed: int, key_id: str) -> Customer:
    account = open_account(seed, key_id)
    return Customer(account, account, opening_configurations(account), Watchlists(str(account.profile["id"])))
