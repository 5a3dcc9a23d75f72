"""What can go wrong on the way to Alpaca, named after the condition.

None of these carries what Alpaca sent, a key or an address: they may be logged and shown to anyone.
"""

from enum import StrEnum
from typing import ClassVar


class Fault(StrEnum):
    """Why a value of Alpaca's cannot be used, for the log."""

    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    NOT_A_LIST = "not_a_list"
    MISSING = "missing"
    NOT_A_TEXT = "not_a_text"
    NOT_A_NUMBER = "not_a_number"
    NOT_A_FLAG = "not_a_flag"
    NOT_A_TIME = "not_a_time"
    NOT_A_DATE = "not_a_date"
    NESTED = "nested"
    TOO_LONG = "too_long"
    DIFFERENT_LENGTHS = "different_lengths"
    MOSTLY_UNREADABLE = "mostly_unreadable"
    REPEATED = "repeated"


class AlpacaError(Exception):
    """No usable answer. `status` and `alpaca_request_id` are Alpaca's, where it got as far as an answer."""

    sentence: ClassVar[str] = "Alpaca did not answer usefully"

    def __init__(self, *, status: int | None = None, alpaca_request_id: str | None = None) -> None:
        self.status = status
        self.alpaca_request_id = alpaca_request_id
        super().__init__(self.sentence if status is None else f"{self.sentence} (status {status})")


class AlpacaAuthError(AlpacaError):
    """Alpaca does not know this pair of keys here, or they are of a form that no key has (then nothing was sent)."""

    sentence = "Alpaca refused these keys"


class ReadRefused(AlpacaError):  # noqa: N818 - named after the condition
    """Alpaca understood the request and refused it for a reason of its own; asking again will not help.

    `alpaca_code` is the number that Alpaca gives the reason, such as 42210000.
    """

    sentence = "Alpaca refused this request"

    def __init__(self, *, alpaca_code: int, status: int | None = None, alpaca_request_id: str | None = None) -> None:
        super().__init__(status=status, alpaca_request_id=alpaca_request_id)
        self.alpaca_code = alpaca_code


class WrongShape(AlpacaError):  # noqa: N818 - named after the condition
    """A 200 whose body is not what it should be, is too large, or is compressed although that was not requested.

    `field` is a name of our own, never a text of Alpaca's: the field that cannot be read, or None for the whole.
    """

    sentence = "Alpaca's answer has an unexpected form"

    def __init__(
        self,
        fault: Fault,
        field: str | None = None,
        *,
        status: int | None = None,
        alpaca_request_id: str | None = None,
    ) -> None:
        super().__init__(status=status, alpaca_request_id=alpaca_request_id)
        self.fault = fault
        self.field = field


class NotAnAccount(WrongShape):
    """A 200 that is not an account, or one without an identity, or an open one without a balance."""

    sentence = "Alpaca's answer is not an account"


class RepeatedPage(WrongShape):
    """A page repeats items of an earlier page. Paging on would never end."""

    sentence = "Alpaca's pages repeat themselves"

    def __init__(self) -> None:
        super().__init__(Fault.REPEATED)


class AlpacaServerError(AlpacaError):
    """Any other status, redirects included; without a status, something that is not HTTP."""

    sentence = "Alpaca failed to answer"


class ConnectionDropped(AlpacaServerError):  # noqa: N818 - named after the condition
    """The connection broke after the request went out and before the answer was complete."""

    sentence = "Alpaca hung up"


class Unreachable(AlpacaError):  # noqa: N818 - named after the condition
    """No connection: DNS, TCP or TLS. Nothing was sent."""

    sentence = "Alpaca cannot be reached"


class CertificateRefused(Unreachable):
    """What answers there cannot prove to be Alpaca. Nothing was sent."""

    sentence = "The certificate at Alpaca's address is not trusted"


class DeadlineExceeded(AlpacaError):  # noqa: N818 - named after the condition
    """No complete answer within the time for the whole call, retries included."""

    sentence = "Alpaca did not answer in time"


class SlotTaken(AlpacaError):  # noqa: N818 - named after the condition
    """The account has its one connection for `trade_updates` already: a program of its owner's, or another server."""

    sentence = "Alpaca's one connection for this account is taken"


class AlpacaRateLimited(AlpacaError):  # noqa: N818 - named after the condition
    """The account's requests for this minute are spent.

    `retry_after_seconds` is 1 to 60. `from_us` means that Alpaca was not asked, because it would refuse.
    """

    sentence = "The budget of requests for this account is spent"

    def __init__(
        self,
        *,
        retry_after_seconds: int,
        from_us: bool,
        status: int | None = None,
        alpaca_request_id: str | None = None,
    ) -> None:
        super().__init__(status=status, alpaca_request_id=alpaca_request_id)
        self.retry_after_seconds = retry_after_seconds
        self.from_us = from_us
