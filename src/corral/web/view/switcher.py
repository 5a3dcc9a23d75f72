"""The way from one account to another, in the order of their owner, on the same tab."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from corral.credentials.arrangement import Arrangement
from corral.credentials.models import Credential

KEYS: Final = 9  # accounts that a number key opens
# A tab that every account has. An order or a position is of one account only.
_TABS: Final = ("/orders", "/activities")


@dataclass(frozen=True, slots=True)
class SwitcherItem:
    """`key` is the number key that opens it."""

    credential: Credential
    path: str
    key: int | None


@dataclass(frozen=True, slots=True)
class Switcher:
    """`previous` and `next` are None at the ends of the list."""

    items: Sequence[SwitcherItem]
    current: UUID
    has_shortcuts: bool

    @property
    def previous(self) -> SwitcherItem | None:
        at = self._at()
        return self.items[at - 1] if at > 0 else None

    @property
    def next(self) -> SwitcherItem | None:
        return next(iter(self.items[self._at() + 1 :]), None)

    def _at(self) -> int:
        return next(at for at, item in enumerate(self.items) if item.credential.id == self.current)


def build_switcher(arranged: Arrangement, current: UUID, page_path: str) -> Switcher:
    """`page_path` is that of a page about the account `current`, which has to be one of them."""
    credentials = [account.credential for account in arranged.accounts]
    keys = number_keys(credentials)
    before, after = _around_id(page_path)
    items = [SwitcherItem(one, f"{before}{one.id}{after}", keys.get(one.id)) for one in credentials]
    return Switcher(items, current, arranged.view.has_shortcuts)


def number_keys(credentials: Sequence[Credential]) -> dict[UUID, int]:
    """The number keys by account: the first nine in the order of their owner."""
    return {credential.id: number for number, credential in enumerate(credentials[:KEYS], 1)}


def _around_id(page_path: str) -> tuple[str, str]:
    if page_path.startswith("/keys/"):
        return "/keys/", ""
    return "/accounts/", next((tab for tab in _TABS if page_path.endswith(tab)), "")
