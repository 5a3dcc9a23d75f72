"""What each account was worth at the last close: Alpaca tells it with every standing, and account-data does not."""

from collections import OrderedDict
from typing import Final, final
from uuid import UUID

from corral.credentials.models import SealedCredential

MOST_KEPT: Final = 20_000


@final
class Closes:
    """Kept by owner and credential, as of the last answer. A day's close is another one's news within that answer."""

    __slots__ = ("_equities", "_most")

    def __init__(self, *, most: int = MOST_KEPT) -> None:
        self._most = most
        self._equities: OrderedDict[tuple[UUID, UUID, int], str] = OrderedDict()

    def learn(self, credential: SealedCredential, last_equity: str | None) -> None:
        """A decimal, digit for digit as Alpaca wrote it, or None where it does not say."""
        key = _key(credential)
        self._equities.pop(key, None)
        if last_equity is None:
            return
        self._equities[key] = last_equity
        if len(self._equities) > self._most:
            self._equities.popitem(last=False)

    def of(self, credential: SealedCredential) -> str | None:
        """None for an account that has not been asked since the start. Whoever asks may see the credential now."""
        return self._equities.get(_key(credential))


def _key(credential: SealedCredential) -> tuple[UUID, UUID, int]:
    return credential.user_id, credential.id, credential.revision
