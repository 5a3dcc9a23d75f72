"""What Alpaca last said of each account: it tells far more with every answer than account-data passes on."""

import zlib
from collections import OrderedDict
from dataclasses import fields
from typing import Final, final

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
        # Packed: an idle account costs a tenth of what its fields would, for 6 µs a call to Alpaca.
        self._answers: OrderedDict[bytes, bytes] = OrderedDict()

    def learn(self, credential: SealedCredential, account: Account) -> None:
        key = _key(credential)
        told = orjson.dumps([getattr(account, name) for name in _NAMES])
        self._answers[key] = zlib.compress(told, level=1)
        self._answers.move_to_end(key)
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def of(self, credential: SealedCredential) -> Account | None:
        """None for an account that has not been asked since the start. Whoever asks may see the credential now."""
        kept = self._answers.get(_key(credential))
        return None if kept is None else Account(**dict(zip(_NAMES, orjson.loads(zlib.decompress(kept)), strict=True)))


def _key(credential: SealedCredential) -> bytes:
    return b"%b%b%d" % (credential.user_id.bytes, credential.id.bytes, credential.revision)
