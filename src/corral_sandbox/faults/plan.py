"""The fault plan: what goes wrong, for which requests, and how often.

`PUT /_faults` takes one document, which replaces the previous one; `GET` shows what is left of it, `DELETE`
clears it. An invalid document is a 400 with the reason and changes nothing.

    {"faults": [{"key_id": "PKALICE0001", "path": "/v2/account", "times": 1, "status": 503}]}

The first fault that matches a request to the Trading API applies to it. A fault names

  which requests it matches
    key_id         the key id that the request carries (default: any or none)
    method         "POST" (default: any)
    path           "/v2/account", without /paper or /live, or a pattern like "/v2/assets/{symbol_or_asset_id}"
                   (default: any). One that the sandbox does not serve is refused
    times          how many requests it applies to (default: all, until cleared)

  the response that replaces the API's, at most one of
    status         with or without one of the next three; alone, the body is {"message": "<its phrase>"}
    body           any JSON. Long numbers would lose digits: write such a body as body_text
    body_text      any text, as it is
    body_bytes     so many bytes of filler, without a Content-Length
    redirect_to    an address; 302, or the `status` beside it
    rate_limited   {"retry_after": 30}: Alpaca's 429 with a Retry-After in seconds, or with none for {}
    echo           true: 200, or the `status` beside it, with the request's headers in the body and in X-Echo

  or when that happens
    after          true: the request is done first, and only its answer is replaced or cut. So an order stands although
                   its POST is answered with 504

  or what happens to the order of a POST /v2/orders
    order          {"outcome": "rejected"}            accepted, then rejected
                   {"outcome": "pending_new"}         stays pending until it is canceled or expires
                   {"outcome": "partially_filled", "filled_qty": "3"}    filled so far and no further
                   {"outcome": "trade_bust"}          filled as usual, then every fill is busted
                   {"outcome": "trade_correct", "price": "270.5"}        filled, then the last fill is corrected
                   and "after_seconds", in sandbox time, before the rejection, bust or correction (default 0)

  or what changes in a successful response of /v2/account
    account_raw      {"cash": "1e5"}: JSON texts that replace a field's value digit for digit
    account_without  ["cash"]: fields left out

  and how it is sent
    headers        {"Name": "value"}, added to the response or replacing its own
    content_type   instead of application/json
    latency_ms     a delay before the response, on top of the server's own
    drip           {"bytes": 1, "every_ms": 50}: the body in pieces
    cut            "before_headers": the connection is reset without a response;
                   "mid_body": it is closed after half the body

On "/stream" a fault may name a response, such as the status 429, which refuses the handshake, `cut`, which resets the
connection, or `latency_ms`, a delay before the reply to the authentication, and

    stream         what goes wrong on the socket, one or more of
                   {"never_answers": true}      nothing is ever sent
                   {"refuses": true}            every authentication is unauthorized
                   {"text_frames": true}        text for binary
                   {"half_json": true}          only the first half of each event
                   {"unknown_event": true}      before each event a copy with an unknown name
                   {"loses_every": 2}           every second event is not sent
                   {"drop_after_ms": 500}       the connection is reset that long after the authorization
                   {"silent_after_ms": 500}     from then on nothing is sent, not even a pong
                   {"slot_held_ms": 5000}       after the connection has closed, its slot stays taken that long: the
                                                next ones get what Alpaca answers to too many connections.
                                                Clearing the faults frees it

If a fault names a key id and the handshake carries none, it applies at the authentication; one that would have
refused the handshake resets the connection then.

A request with a replaced response is not authenticated and does not count towards the rate limit, unless the fault
says `after`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Literal, Never, get_args

import orjson

from corral_sandbox.broker.orders import OrderOutcome
from corral_sandbox.http.access import KEY_ID_PATTERN
from corral_sandbox.http.forms import (
    FormError,
    choice,
    list_of,
    mapping_of,
    matching,
    only_true,
    part,
    read_form,
    text,
    whole_number,
)
from corral_sandbox.market.money import ZERO
from corral_sandbox.market.time import SECOND

_ANSWERS = ("body", "body_text", "body_bytes", "redirect_to", "rate_limited", "echo")
_MATCHES = frozenset({"key_id", "method", "path", "times", "after"})
_REFUSALS = frozenset({*_ANSWERS, "status", "cut"})
ACCOUNT_PATH, ORDERS_PATH = "/v2/account", "/v2/orders"
STREAM_PATH = "/stream"


class FaultPlanError(Exception):
    """The document is invalid; the text is the reason."""


def _json_text(value: object) -> str:
    """Rejects what is not JSON. Numbers are not converted, so they may have any length."""
    try:
        json.loads(text(value), parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except RecursionError:
        raise FormError("nested too deeply") from None
    except ValueError as rejected:
        raise FormError(str(rejected)) from None
    return text(value)


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _writable(body: object) -> object:
    """Rejects what would not be sent as it was received."""
    try:
        if orjson.loads(orjson.dumps(body)) == body:
            return body
    except orjson.JSONEncodeError:
        pass
    raise FormError("this JSON cannot be kept exactly; write it as body_text")


def _free_of_framing(value: object) -> dict[str, str]:
    headers = _headers(value)
    if framing := {"content-length", "transfer-encoding", "connection"} & {name.lower() for name in headers}:
        raise FormError(f"{min(framing)} is for the server to write; see cut and drip")
    return headers


def _positive_number(value: object) -> str:
    if not Decimal(_number(value)):
        raise FormError("must be above 0")
    return _number(value)


_header_name = matching(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", "must be the name of a header")
_header_value = matching(r"[^\x00-\x08\x0a-\x1f\x7f]*", "must be a text without control characters")
_headers = mapping_of(_header_value, _header_name)
_number = matching(r"[0-9]{1,9}([.][0-9]{1,9})?", 'must be a number as text, such as "1.5"')
_count = whole_number(1, 1_000_000_000)
_milliseconds = whole_number(0, 600_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drip:
    bytes: Annotated[int, whole_number(1, 65_536)]
    every_ms: Annotated[int, _milliseconds]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitedReply:
    retry_after: Annotated[int | None, whole_number(0, 1_000_000_000)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFault:
    """What goes wrong on the trade updates stream."""

    never_answers: Annotated[bool, only_true] = False
    refuses: Annotated[bool, only_true] = False
    text_frames: Annotated[bool, only_true] = False
    half_json: Annotated[bool, only_true] = False
    unknown_event: Annotated[bool, only_true] = False
    loses_every: Annotated[int | None, _count] = None
    drop_after_ms: Annotated[int | None, _milliseconds] = None
    silent_after_ms: Annotated[int | None, _milliseconds] = None
    slot_held_ms: Annotated[int | None, _milliseconds] = None


_Outcome = Literal["rejected", "pending_new", "partially_filled", "trade_bust", "trade_correct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFault:
    """What happens to an order."""

    outcome: Annotated[_Outcome, choice(*get_args(_Outcome))]
    filled_qty: Annotated[str | None, _positive_number] = None
    price: Annotated[str | None, _positive_number] = None
    after_seconds: Annotated[int | None, whole_number(0, 31_536_000)] = None

    def __post_init__(self) -> None:
        for name, outcome in (("filled_qty", "partially_filled"), ("price", "trade_correct")):
            if (getattr(self, name) is None) == (self.outcome == outcome):
                raise FormError(f'{name} belongs to the outcome "{outcome}", which needs it')
        if self.after_seconds is not None and self.outcome in {"pending_new", "partially_filled"}:
            raise FormError(f"nothing happens later to an order that is {self.outcome}: leave out after_seconds")

    def to_outcome(self) -> OrderOutcome:
        return OrderOutcome(
            self.outcome,
            quantity=Decimal(self.filled_qty) if self.filled_qty else ZERO,
            price=Decimal(self.price) if self.price else ZERO,
            after=(self.after_seconds or 0) * SECOND,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """One entry of the document, as it was `given`; its fields are described at the head of this module."""

    given: dict[str, object] = field(default_factory=dict[str, object])

    key_id: Annotated[str | None, matching(KEY_ID_PATTERN, "must be a key ID, such as PKALICE0001")] = None
    method: Annotated[str | None, choice("GET", "POST", "PUT", "PATCH", "DELETE")] = None
    path: Annotated[str | None, matching(r"/.*", "must be a path, such as /v2/account")] = None
    times: Annotated[int | None, _count] = None
    after: Annotated[bool, only_true] = False

    status: Annotated[int | None, whole_number(200, 599)] = None
    body: Annotated[object, _writable] = None
    body_text: Annotated[str | None, text] = None
    body_bytes: Annotated[int | None, whole_number(0, 1_000_000_000)] = None
    redirect_to: Annotated[str | None, _header_value] = None
    rate_limited: Annotated[RateLimitedReply | None, part(RateLimitedReply)] = None
    echo: Annotated[bool, only_true] = False

    account_raw: Annotated[dict[str, str] | None, mapping_of(_json_text)] = None
    account_without: Annotated[list[str] | None, list_of(text)] = None

    headers: Annotated[dict[str, str] | None, _free_of_framing] = None
    content_type: Annotated[str | None, _header_value] = None
    latency_ms: Annotated[int, _milliseconds] = 0
    drip: Annotated[Drip | None, part(Drip)] = None
    cut: Annotated[Literal["before_headers", "mid_body"] | None, choice("before_headers", "mid_body")] = None
    stream: Annotated[StreamFault | None, part(StreamFault)] = None
    order: Annotated[OrderFault | None, part(OrderFault)] = None

    def __post_init__(self) -> None:
        """Raises FormError for a fault that makes no sense."""
        answers = [name for name in _ANSWERS if name in self.given]
        if not self.given.keys() - _MATCHES:
            raise FormError("a fault must do something")
        if len(answers) > 1:
            raise FormError(f"{' and '.join(answers)} are two answers to one request")
        if self.rate_limited is not None and self.status is not None:
            raise FormError("rate_limited has a status of its own, 429")
        if self.changes_account and (answers or self.status):
            raise FormError(f"{answers[0] if answers else 'status'} leaves no account to change")
        if self.changes_account and self.path not in {None, ACCOUNT_PATH}:
            raise FormError(f"account_raw and account_without change {ACCOUNT_PATH}, not {self.path}")
        if self.after and not self.refuses_handshake:
            raise FormError("after needs the answer that follows: a status, a body or a cut, for example")
        if self.after and self.path == STREAM_PATH:
            raise FormError(f"after is for requests, not for {STREAM_PATH}")
        if self.order is not None:
            self._check_order(answers)
        if self.stream is not None and (self.path not in {None, STREAM_PATH} or self.refuses_handshake):
            raise FormError(f"stream is for connections of {STREAM_PATH} that come about")

    def _check_order(self, answers: list[str]) -> None:
        if self.path not in {None, ORDERS_PATH} or self.method not in {None, "POST"}:
            raise FormError(f"order is for POST {ORDERS_PATH} only")
        if (answers or self.status) and not self.after:
            raise FormError(f"{answers[0] if answers else 'status'} leaves no order: say after as well")

    @property
    def refuses_handshake(self) -> bool:
        return bool(_REFUSALS & self.given.keys())

    @property
    def changes_account(self) -> bool:
        return self.account_raw is not None or self.account_without is not None

    def matches(self, key_id: str | None, method: str, path: str, pattern: str | None) -> bool:
        if self.changes_account and path != ACCOUNT_PATH:
            return False
        if self.order is not None and (path, method) != (ORDERS_PATH, "POST"):
            return False
        if (path == STREAM_PATH and self.after) or (path != STREAM_PATH and self.stream is not None):
            return False
        return self.key_id in {None, key_id} and self.method in {None, method} and self.path in {None, path, pattern}


def _rule(value: object) -> FaultRule:
    return read_form(FaultRule, value, given=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    faults: Annotated[list[FaultRule], list_of(_rule)]


@dataclass(slots=True)
class PendingFault:
    fault: FaultRule
    times: int | None

    def document(self) -> dict[str, object]:
        times = {} if self.times is None else {"times": self.times}
        return {**self.fault.given, **times}


class FaultPlan:
    """The rules in force. `methods_of` returns the methods of a path or a route's pattern, none if it is not served."""

    def __init__(self, methods_of: Callable[[str], frozenset[str]]) -> None:
        self._methods_of = methods_of
        self.pending: list[PendingFault] = []

    def replace(self, document: bytes) -> None:
        try:
            faults = read_form(_Document, _read_json(document)).faults
        except FormError as rejected:
            raise FaultPlanError(str(rejected)) from None
        for index, fault in enumerate(faults):
            self._check_path(f"faults.{index}", fault)
        self.pending = [PendingFault(fault, fault.times) for fault in faults]

    def _check_path(self, where: str, fault: FaultRule) -> None:
        """A fault that never matches would pass unnoticed."""
        if fault.path is None:
            return
        methods = self._methods_of(fault.path)
        if not methods:
            raise FaultPlanError(
                f"{where}.path: the sandbox serves no {fault.path}. Write the path without /paper or /live, as in "
                "/v2/orders, or its pattern, as in /v2/orders/{order_id}"
            )
        if fault.method is not None and fault.method not in methods:
            raise FaultPlanError(
                f"{where}.method: {fault.path} has no {fault.method}, only {', '.join(sorted(methods))}"
            )

    def clear(self) -> None:
        self.pending = []

    def __len__(self) -> int:
        return len(self.pending)

    def document(self) -> dict[str, object]:
        """Returns what is left: rules that are used up are gone, `times` counts down."""
        return {"faults": [pending.document() for pending in self.pending]}

    def take(self, key_id: str | None, method: str, path: str, pattern: str | None) -> FaultRule | None:
        """Returns the first rule that matches, and counts its use. `pattern` is that of the path's route."""
        for pending in self.pending:
            if pending.fault.matches(key_id, method, path, pattern):
                self._use_up(pending)
                return pending.fault
        return None

    def _use_up(self, pending: PendingFault) -> None:
        if pending.times is None:
            return
        pending.times -= 1
        if not pending.times:
            self.pending.remove(pending)


def _read_json(document: bytes) -> object:
    """Returns JSON with whole numbers of any length. `orjson` refuses what Python's decoder takes, such as NaN."""
    try:
        orjson.loads(document)
        return json.loads(document)
    except (orjson.JSONDecodeError, ValueError, RecursionError) as rejected:
        raise FormError(f"invalid JSON: {rejected}") from None
