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
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, Never, Self

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from corral_sandbox.broker.orders import OrderOutcome
from corral_sandbox.market.money import ZERO
from corral_sandbox.market.time import SECOND

_ANSWERS = ("body", "body_text", "body_bytes", "redirect_to", "rate_limited", "echo")
_MATCHES = frozenset({"key_id", "method", "path", "times", "after"})
_REFUSALS = frozenset({*_ANSWERS, "status", "cut"})
ACCOUNT_PATH, ORDERS_PATH = "/v2/account", "/v2/orders"
STREAM_PATH = "/stream"


class FaultPlanError(Exception):
    """The document is invalid; the text is the reason."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _json_text(text: str) -> str:
    """Rejects what is not JSON. Numbers are not converted, so they may have any length."""
    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return text


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _writable(body: JsonValue) -> JsonValue:
    """Rejects what would not be sent as it was received."""
    try:
        if orjson.loads(orjson.dumps(body)) == body:
            return body
    except orjson.JSONEncodeError:
        pass
    raise ValueError("this JSON cannot be kept exactly; write it as body_text")


def _free_of_framing(headers: dict[str, str]) -> dict[str, str]:
    if framing := {"content-length", "transfer-encoding", "connection"} & {name.lower() for name in headers}:
        raise ValueError(f"{min(framing)} is for the server to write; see cut and drip")
    return headers


def _positive(number: str) -> str:
    if not Decimal(number):
        raise ValueError("must be above 0")
    return number


_HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")]
_HeaderValue = Annotated[str, Field(pattern=r"^[^\x00-\x08\x0a-\x1f\x7f]*$")]
_Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
_Milliseconds = Annotated[int, Field(ge=0, le=600_000)]
_PositiveNumber = Annotated[str, Field(pattern=r"^[0-9]{1,9}([.][0-9]{1,9})?$"), AfterValidator(_positive)]


class Drip(_Part):
    bytes: Annotated[int, Field(ge=1, le=65_536)]
    every_ms: _Milliseconds


class RateLimitedReply(_Part):
    retry_after: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None


class StreamFault(_Part):
    """What goes wrong on the trade updates stream."""

    never_answers: Literal[True] | None = None
    refuses: Literal[True] | None = None
    text_frames: Literal[True] | None = None
    half_json: Literal[True] | None = None
    unknown_event: Literal[True] | None = None
    loses_every: _Count | None = None
    drop_after_ms: _Milliseconds | None = None
    silent_after_ms: _Milliseconds | None = None
    slot_held_ms: _Milliseconds | None = None


class OrderFault(_Part):
    """What happens to an order."""

    outcome: Literal["rejected", "pending_new", "partially_filled", "trade_bust", "trade_correct"]
    filled_qty: _PositiveNumber | None = None
    price: _PositiveNumber | None = None
    after_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = None

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        for name, outcome in (("filled_qty", "partially_filled"), ("price", "trade_correct")):
            if (getattr(self, name) is None) == (self.outcome == outcome):
                raise ValueError(f'{name} belongs to the outcome "{outcome}", which needs it')
        if self.after_seconds is not None and self.outcome in {"pending_new", "partially_filled"}:
            raise ValueError(f"nothing happens later to an order that is {self.outcome}: leave out after_seconds")
        return self

    def to_outcome(self) -> OrderOutcome:
        return OrderOutcome(
            self.outcome,
            quantity=Decimal(self.filled_qty) if self.filled_qty else ZERO,
            price=Decimal(self.price) if self.price else ZERO,
            after=(self.after_seconds or 0) * SECOND,
        )


class FaultRule(_Part):
    """One entry of the document; its fields are described at the head of this module."""

    key_id: Annotated[str, Field(pattern=r"^(PK|AK)[A-Z0-9]{6,38}$")] | None = None
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] | None = None
    path: Annotated[str, Field(pattern=r"^/")] | None = None
    times: _Count | None = None
    after: Literal[True] | None = None

    status: Annotated[int, Field(ge=200, le=599)] | None = None
    body: Annotated[JsonValue, AfterValidator(_writable)] = None
    body_text: str | None = None
    body_bytes: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None
    redirect_to: _HeaderValue | None = None
    rate_limited: RateLimitedReply | None = None
    echo: Literal[True] | None = None

    account_raw: dict[str, Annotated[str, AfterValidator(_json_text)]] | None = None
    account_without: list[str] | None = None

    headers: Annotated[dict[_HeaderName, _HeaderValue], AfterValidator(_free_of_framing)] | None = None
    content_type: _HeaderValue | None = None
    latency_ms: _Milliseconds = 0
    drip: Drip | None = None
    cut: Literal["before_headers", "mid_body"] | None = None
    stream: StreamFault | None = None
    order: OrderFault | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        answers = [name for name in _ANSWERS if name in self.model_fields_set]
        if not self.model_fields_set - _MATCHES:
            raise ValueError("a fault must do something")
        if len(answers) > 1:
            raise ValueError(f"{' and '.join(answers)} are two answers to one request")
        if self.rate_limited is not None and self.status is not None:
            raise ValueError("rate_limited has a status of its own, 429")
        if self.changes_account and (answers or self.status):
            raise ValueError(f"{answers[0] if answers else 'status'} leaves no account to change")
        if self.changes_account and self.path not in {None, ACCOUNT_PATH}:
            raise ValueError(f"account_raw and account_without change {ACCOUNT_PATH}, not {self.path}")
        if self.after and not self.refuses_handshake:
            raise ValueError("after needs the answer that follows: a status, a body or a cut, for example")
        if self.after and self.path == STREAM_PATH:
            raise ValueError(f"after is for requests, not for {STREAM_PATH}")
        if self.order is not None:
            self._check_order(answers)
        if self.stream is not None and (self.path not in {None, STREAM_PATH} or self.refuses_handshake):
            raise ValueError(f"stream is for connections of {STREAM_PATH} that come about")
        return self

    def _check_order(self, answers: list[str]) -> None:
        if self.path not in {None, ORDERS_PATH} or self.method not in {None, "POST"}:
            raise ValueError(f"order is for POST {ORDERS_PATH} only")
        if (answers or self.status) and not self.after:
            raise ValueError(f"{answers[0] if answers else 'status'} leaves no order: say after as well")

    @property
    def refuses_handshake(self) -> bool:
        return bool(_REFUSALS & self.model_fields_set)

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


class _Document(_Part):
    faults: list[FaultRule]


@dataclass(slots=True)
class _Pending:
    fault: FaultRule
    times: int | None

    def document(self) -> dict[str, object]:
        times = {} if self.times is None else {"times": self.times}
        return {**self.fault.model_dump(exclude_unset=True), **times}


class FaultPlan:
    """The rules in force. `methods_of` returns the methods of a path or a route's pattern, none if it is not served."""

    def __init__(self, methods_of: Callable[[str], frozenset[str]]) -> None:
        self._methods_of = methods_of
        self._pending: list[_Pending] = []

    def replace(self, document: bytes) -> None:
        try:
            faults = _Document.model_validate_json(document).faults
        except ValidationError as rejected:
            raise FaultPlanError(_reason(rejected)) from None
        for index, fault in enumerate(faults):
            self._check_path(f"faults.{index}", fault)
        self._pending = [_Pending(fault, fault.times) for fault in faults]

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
        self._pending = []

    def __len__(self) -> int:
        return len(self._pending)

    def document(self) -> dict[str, object]:
        """Returns what is left: rules that are used up are gone, `times` counts down."""
        return {"faults": [pending.document() for pending in self._pending]}

    def take(self, key_id: str | None, method: str, path: str, pattern: str | None) -> FaultRule | None:
        """Returns the first rule that matches, and counts its use. `pattern` is that of the path's route."""
        for pending in self._pending:
            if pending.fault.matches(key_id, method, path, pattern):
                self._use_up(pending)
                return pending.fault
        return None

    def _use_up(self, pending: _Pending) -> None:
        if pending.times is None:
            return
        pending.times -= 1
        if not pending.times:
            self._pending.remove(pending)


def _reason(rejected: ValidationError) -> str:
    first = rejected.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'document'}: {first['msg']}"
