"""What is known of an account, and what of an answer is new."""

from collections.abc import Iterable
from typing import Final, final

from corral.live.events import Kind, News

_MOMENT: Final = b',"last_updated":'


@final
class Holdings:
    __slots__ = ("_account",)

    def __init__(self) -> None:
        self._account: News | None = None

    def known(self) -> Iterable[News]:
        return [self._account] if self._account is not None else []

    def learn_account(self, body: bytes) -> list[News]:
        """AccountDataResponse as JSON. That only its moment is another is no news, but what is known is fresher."""
        before, self._account = self._account, News(Kind.ACCOUNT_DATA, body)
        is_new = before is None or _without_moment(before.body) != _without_moment(body)
        return [self._account] if is_new else []


def _without_moment(body: bytes) -> bytes:
    return body.rpartition(_MOMENT)[0]
