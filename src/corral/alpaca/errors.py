"""Errors of calls to Alpaca, named after the condition.

None of these contains Alpaca's text, a key or a URL, so they may be logged and shown to anyone.
"""

from enum import StrEnum
from typing import ClassVar


class Fault(StrEnum):
    """Why a value from Alpaca cannot be used, for the log."""

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
    """No usable response. `status` and `alpaca_request_id` are Alpaca's, if there was a response."""

    sentence: ClassVar[str] = "Alpaca did not answer usefully"

    def __init__(self, *, status: int | None = None, alpaca_request_id: str | None = None) -> None:
        self.status = status
        self.alpaca_request_id = alpaca_request_id
        super().__init__(self.sentence if status is None else f"{self.sentence} (status {status})")


class AlpacaAuthError(AlpacaError):
    """Alpaca does not accept this key pair in this environment, or it cannot be valid (then nothing was sent)."""

    sentence = "Alpaca refused these keys"


class ReadRefused(AlpacaError):  # noqa: N818 - named after the condition
    """Alpaca understood the request and rejected it; repeating it will not help.

    `alpaca_code` is Alpaca's error code, such as 42210000.
    """

    sentence = "Alpaca refused this request"

    def __init__(self, *, alpaca_code: int, status: int | None = None, alpaca_request_id: str | None = None) -> None:
        super().__init__(status=status, alpaca_request_id=alpaca_request_id)
        self.alpaca_code = alpaca_code


class WrongShape(AlpacaError):  # noqa: N818 - named after the condition
    """A 200 with an unexpected body, one that is too large, or one compressed without being requested.

    `field` is the name in Corral of the field that cannot be read, never Alpaca's text; None for the whole body.
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
    """A page repeats items of an earlier page, so paging would never end."""

    sentence = "Alpaca's pages repeat themselves"

    def __init__(self) -> None:
        super().__init__(Fault.REPEATED)


class AlpacaServerError(AlpacaError):
    """Any other status, including redirects; without a status, a response that is not HTTP."""

    sentence = "Alpaca failed to answer"


class ConnectionDropped(AlpacaServerError):  # noqa: N818 - named after the condition
    """The connection broke after the request went out and before the answer was complete."""

    sentence = "Alpaca hung up"


class Unreachable(AlpacaError):  # noqa: N818 - named after the condition
    """No connection: DNS, TCP or TLS. Nothing was sent."""

    sentence = "Alpaca cannot be reached"


class CertificateRefused(Unreachable):
    """The server's certificate is not valid for Alpaca. Nothing was sent."""

    sentence = "The certificate at Alpaca's address is not trusted"


class DeadlineExceeded(AlpacaError):  # noqa: N818 - named after the condition
    """No complete response within the timeout of the whole call, retries included."""

    sentence = "Alpaca did not answer in time"


class SlotTaken(AlpacaError):  # noqa: N818 - named after the condition
    """The account's only `trade_updates` connection is in use: by a program of the owner, or by another server."""

    sentence = "Alpaca's one connection for this account is taken"


class AlpacaRateLimited(AlpacaError):  # noqa: N818 - named after the condition
    """The account's requests for this minute are spent.

    `retry_after_seconds` is 1 to 60. `from_us` means that no request was sent, because Alpaca would have rejected it.
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
