"""Accounts of one user in memory, for tests of what is merged over them."""

from collections.abc import Callable
from typing import cast
from uuid import UUID

from corral.accounts.reader import AccountReader
from corral.alpaca.environments import Environment
from corral.credentials.models import NamedCredential, SealedCredential
from corral.credentials.problems import UpstreamTimeout
from corral.credentials.reader import OpenCredential

USER = UUID(int=7)


def account_id(number: int) -> UUID:
    """Differs in the first digits, as random ids do."""
    return UUID(int=(number + 1) << 100)


def account(number: int, environment: Environment = Environment.PAPER) -> NamedCredential:
    sealed = SealedCredential(account_id(number), USER, environment, str(number), True, 1, b"", b"", None, None)
    return NamedCredential(f"account {number}", None, sealed)


class _Opened:
    def __init__(self, stored: SealedCredential) -> None:
        self.stored = stored


class _Reader:
    """Opens every account but those that fail."""

    def __init__(self, fails: Callable[[UUID], bool]) -> None:
        self._fails = fails

    def open_row(self, stored: SealedCredential, _purpose: object = None) -> OpenCredential:
        if self._fails(stored.id):
            raise UpstreamTimeout
        return cast("OpenCredential", _Opened(stored))


def reader(fails: Callable[[UUID], bool] = lambda _: False) -> AccountReader:
    return cast("AccountReader", _Reader(fails))
