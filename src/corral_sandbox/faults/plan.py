"""The fault plan: what goes wrong, for which requests, and how often.

`PUT /_faults` takes one document, which replaces the previous one; `GET` shows what is left of it, `DELETE`
clears it. An invalid document is a 400 with the reason and changes nothing.

    {"faults": [{"key_id": "PKALICE0001", "path": "/v2/account", "times": 1, "status": 503}]}

The first fault that matches a request to the Trading API applies to it. A fault names

  which requests it matches
    key_id         the key id that the request carries (default: any or none)
    path           "/v2/account", without the prefix, or a pattern like "/v2/assets/{symbol_or_id}" (default: any)
    times          how many requests it applies to (default: all, until cleared)

  the response that replaces the API's, at most one of
    status         with or without one of the next three; alone, the body is {"message": "<its phrase>"}
    body           any JSON. Long numbers would lose digits: write such a body as body_text
    body_text      any text, as it is
    body_bytes     so many bytes of filler, without a Content-Length
    redirect_to    an address; 302, or the `status` beside it
    rate_limited   {"retry_after": 30}: Alpaca's 429 with a Retry-After in seconds, or with none for {}
    echo           true: 200, or the `status` beside it, with the request's headers in the body and in X-Echo

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

On "/stream" a fault may name a response, which refuses the handshake, `cut`, which resets the connection, or
`latency_ms`, a delay before the reply to the authentication, and

    stream         what goes wrong on the socket, one or more of
                   {"never_answers": true}      nothing is ever sent
                   {"refuses": true}            every authentication is unauthorized
                   {"text_frames": true}        text for binary
                   {"half_json": true}          only the first half of each event
                   {"unknown_event": true}      before each event a copy with an unknown name
                   {"loses_every": 2}           every second event is not sent
                   {"drop_after_ms": 500}       the connection is reset that long after the authorization
                   {"silent_after_ms": 500}     from then on nothing is sent, not even a pong

If a fault names a key id and the handshake carries none, it applies at the authentication; one that would have
refused the handshake resets the connection then.

A request with a replaced response is not authenticated and does not count towards the rate limit.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Literal, Never, Self

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

_ANSWERS = ("body", "body_text", "body_bytes", "redirect_to", "rate_limited", "echo")
_MATCHES = frozenset({"key_id", "path", "times"})
_REFUSALS = frozenset({*_ANSWERS, "status", "cut"})
ACCOUNT_PATH = "/v2/account"
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


_HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")]
_HeaderValue = Annotated[str, Field(pattern=r"^[^\x00-\x08\x0a-\x1f\x7f]*$")]
_Milliseconds = Annotated[int, Field(ge=0, le=600_000)]


class Drip(_Part):
    bytes: Annotated[int, Field(ge=1, le=65_536)]
    every_ms: _Milliseconds


class RateLimitedReply(_Part):
    retry_after: Annotated[int, Field(ge=0)] | None = None


class StreamFault(_Part):
    """What goes wrong on the trade updates stream."""

    never_answers: Literal[True] | None = None
    refuses: Literal[True] | None = None
    text_frames: Literal[True] | None = None
    half_json: Literal[True] | None = None
    unknown_event: Literal[True] | None = None
    loses_every: Annotated[int, Field(ge=1)] | None = None
    drop_after_ms: _Milliseconds | None = None
    silent_after_ms: _Milliseconds | None = None


class FaultRule(_Part):
    """One entry of the document; its fields are described at the head of this module."""

    key_id: Annotated[str, Field(pattern=r"^(PK|AK)[A-Z0-9]{6,38}$")] | None = None
    path: Annotated[str, Field(pattern=r"^/")] | None = None
    times: Annotated[int, Field(ge=1)] | None = None

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
        if self.stream is not None and (self.path not in {None, STREAM_PATH} or self.refuses_handshake):
            raise ValueError(f"stream is for connections of {STREAM_PATH} that come about")
        return self

    @property
    def refuses_handshake(self) -> bool:
        return bool(_REFUSALS & self.model_fields_set)

    @property
    def changes_account(self) -> bool:
        return self.account_raw is not None or self.account_without is not None

    def matches(self, key_id: str | None, path: str, pattern: str | None) -> bool:
        if self.changes_account and path != ACCOUNT_PATH:
            return False
        if self.stream is not None and path != STREAM_PATH:
            return False
        return self.key_id in {None, key_id} and self.path in {None, path, pattern}


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
    """The rules in force."""

    def __init__(self) -> None:
        self._pending: list[_Pending] = []

    def replace(self, document: bytes) -> None:
        try:
            faults = _Document.model_validate_json(document).faults
        except ValidationError as rejected:
            raise FaultPlanError(_reason(rejected)) from None
        self._pending = [_Pending(fault, fault.times) for fault in faults]

    def clear(self) -> None:
        self._pending = []

    def document(self) -> dict[str, object]:
        """Returns what is left: rules that are used up are gone, `times` counts down."""
        return {"faults": [pending.document() for pending in self._pending]}

    def take(self, key_id: str | None, path: str, pattern: str | None) -> FaultRule | None:
        """Returns the first rule that matches, and counts its use. `pattern` is that of the path's route."""
        for pending in self._pending:
            if pending.fault.matches(key_id, path, pattern):
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
