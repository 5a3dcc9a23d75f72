"""What Alpaca last said of each account: it tells far more with every answer than account-data passes on."""

from collections import OrderedDict
from dataclasses import fields
from typing import Final, final
from uuid import UUID

import orjson

from corral.alpaca.models import Account
from corral.credentials.models import SealedCredential

MOST_KEPT: Final = 20_000

_NAMES: Final = [field.name for field in fields(Account)]


@final
class LastKnown:
    """Kept by owner, credential and its revision, as of the last answer, whoever asked.

    New keys, and whatever else takes a right away, are another revision, so nothing that is kept is found under it.
    """

    __slots__ = ("_answers", "_most")

    def __init__(self, *, most: int = MOST_KEPT) -> None:
        self._most = most
        # As bytes: an idle account costs a fifth of what its fields would.
        self._answers: OrderedDict[tuple[UUID, UUID, int], bytes] = OrderedDict()

    def learn(self, credential: SealedCredential, account: Account) -> None:
        key = _key(credential)
        told = orjson.dumps([getattr(account, name) for name in _NAMES])
        # A copy: the original stands in a buffer that was cut down, of which a thousand cost 8 MB of torn memory.
        self._answers[key] = bytes(memoryview(told))
        self._answers.move_to_end(key)
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def of(self, credential: SealedCredential) -> Account | None:
        """None for an account that has not been asked since the start. Whoever asks may see the credential now."""
        kept = self._answers.get(_key(credential))
        return None if kept is None else Account(**dict(zip(_NAMES, orjson.loads(kept), strict=True)))


def _key(credential: SealedCredential) -> tuple[UUID, UUID, int]:
    return credential.user_id, credential.id, credential.revision
