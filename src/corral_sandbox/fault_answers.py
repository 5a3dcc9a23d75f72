"""What a fault makes of an answer, before it goes out."""

import json
from collections.abc import Mapping
from http import HTTPStatus

import orjson

from corral_sandbox.answers import Answer, Refused
from corral_sandbox.faults import Fault, RateLimited
from corral_sandbox.market import SECOND


def answer_in_place(fault: Fault, request_headers: Mapping[str, str], now: int) -> Answer | None:
    """Answers what the fault says instead of the Trading API, or None where it lets that speak."""
    if fault.rate_limited is not None:
        return _rate_limited(fault.rate_limited, now)
    if fault.redirect_to is not None:
        return Answer(fault.status or HTTPStatus.FOUND, b"", {"Location": fault.redirect_to})
    if fault.echo:
        return _echo(fault.status or HTTPStatus.OK, request_headers)
    if (body := _body(fault)) is not None:
        return Answer(fault.status or HTTPStatus.OK, body)
    return None


def amend(answer: Answer, fault: Fault) -> None:
    """Changes a good account's fields and any answer's headers as the fault says."""
    if fault.amends_account and answer.status == HTTPStatus.OK and isinstance(answer.body, dict):
        raw = {name: orjson.Fragment(text) for name, text in (fault.account_raw or {}).items()}
        answer.body = {
            name: value for name, value in {**answer.body, **raw}.items() if name not in (fault.account_without or ())
        }
    answer.headers.update(fault.headers or {})
    if fault.content_type is not None:
        answer.headers["Content-Type"] = fault.content_type


def _body(fault: Fault) -> dict[str, object] | bytes | None:
    """Answers bytes, which go out as they are, or None where the fault names neither body nor status."""
    if fault.body_text is not None:
        return fault.body_text.encode()
    if fault.body_bytes is not None:
        return b""  # the filler is made while it is sent
    if "body" in fault.model_fields_set:
        return orjson.dumps(fault.body)
    return None if fault.status is None else {"message": _phrase(fault.status)}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.lower()
    except ValueError:  # a number that no standard names
        return "made up for a test"


def _rate_limited(limited: RateLimited, now: int) -> Answer:
    answer = Refused(429, "rate limit exceeded").answer
    seconds = 60 if limited.retry_after is None else limited.retry_after
    answer.headers.update({"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "0"})
    answer.headers["X-RateLimit-Reset"] = str(now // SECOND + seconds)
    if limited.retry_after is not None:
        answer.headers["Retry-After"] = str(limited.retry_after)
    return answer


def _echo(status: int, request_headers: Mapping[str, str]) -> Answer:
    headers = dict(request_headers)
    line = "; ".join(f"{name}: {value}" for name, value in headers.items())
    return Answer(
        status,
        json.dumps({"headers": headers}).encode(),  # not orjson: a header may hold bytes that are no text
        {"X-Echo": line.encode("ascii", "backslashreplace").decode()},
    )
