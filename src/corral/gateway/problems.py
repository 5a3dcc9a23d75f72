"""Why the gateway does not pass something on, in Alpaca's own form: `{"code": 40310000, "message": "…"}`."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

import orjson

from corral.edge.problems import Headers
from corral.errors import BodyTooLarge, InvalidRequest, MalformedRequest, MethodNotAllowed, NotFound, Problem
from corral.gateway.refusals import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class GatewayProblem(Problem):
    """What programs with a grant are told; docs/gateway.md has the list."""


class NoCredentials(GatewayProblem):
    """forbidden."""

    status, code, title = 403, "no_credentials", "No credentials"


class NotAuthorized(GatewayProblem):
    """request is not authorized"""

    status, code, title = 401, "not_authorized", "Not authorized"


class NotGranted(GatewayProblem):
    """This grant does not allow this operation."""

    status, code, title = 403, "not_granted", "Not granted"


class AccountPaused(GatewayProblem):
    """The owner has switched this account off. The grant works again when it is switched on."""

    status, code, title = 403, "account_paused", "Account switched off"


class AccountKeysRefused(GatewayProblem):
    """Alpaca refuses the keys of this account. The grant works again when its owner has entered new ones."""

    status, code, title = 403, "keys_refused", "Keys refused"


class TargetTooLong(GatewayProblem):
    """The URL is too long."""

    status, code, title = 414, "target_too_long", "URL too long"


class ShareSpent(GatewayProblem):
    """This grant's part of the account's requests for this minute is spent."""

    status, code, title = 429, "rate_limited", "Rate limited"


class OutcomeUnknown(GatewayProblem):
    """Outcome unknown: look at the account's orders before you send this again."""

    status, code, title = 500, "outcome_unknown", "Outcome unknown"


class AnswerUnusable(GatewayProblem):
    """Alpaca, or something on the way, answered with something that cannot be passed on."""

    status, code, title = 502, "upstream_failed", "Alpaca failed"


class NothingSent(GatewayProblem):
    """Alpaca cannot be reached. Nothing was sent."""

    status, code, title = 503, "upstream_unavailable", "Alpaca unavailable"


class AnswerLate(GatewayProblem):
    """Alpaca did not answer in time."""

    status, code, title = 504, "upstream_timeout", "Alpaca timeout"


_OF_REASONS: Final["Mapping[Reason, type[Problem]]"] = {
    Reason.MALFORMED_TARGET: MalformedRequest,
    Reason.TARGET_TOO_LONG: TargetTooLong,
    Reason.UNKNOWN_PATH: NotFound,
    Reason.UNKNOWN_METHOD: MethodNotAllowed,
    Reason.NOT_GRANTED: NotGranted,
    Reason.BODY_TOO_LARGE: BodyTooLarge,
    Reason.INVALID_BODY: InvalidRequest,
}


def problem_of(refused: Refused) -> Problem:
    return _OF_REASONS[refused.reason](refused.message, allow=refused.allowed_methods)


def render_as_alpaca(problem: Problem, _request_id: str) -> tuple[int, Headers, bytes]:
    """Returns status, headers and body. The code is the status and five more digits, as Alpaca's are."""
    body = orjson.dumps({"code": problem.status * 100_000 + 10_000, "message": problem.detail})
    headers: Headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if problem.retry_after is not None:
        headers.append((b"retry-after", b"%d" % problem.retry_after))
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append((b"allow", ", ".join(cast("Sequence[str]", problem.extra.get("allow", ()))).encode()))
    headers += cast("Headers", problem.extra.get("headers", []))
    return problem.status, headers, body
