"""Problems of stored credentials, and of calls to Alpaca with them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, Self

from corral.alpaca import errors as alpaca
from corral.errors import Problem


class CredentialNotFound(Problem):
    """Account not found. It may have been removed."""

    status, code, title = 404, "credential_not_found", "Account not found"


class CredentialInactive(Problem):
    """This account is paused."""

    status, code, title = 400, "credential_inactive", "Account paused"


class CredentialRefused(Problem):
    """Alpaca no longer accepts this API key. Generate a new one on Alpaca's dashboard and replace it here.

    If the key works again, check it here to resume updates.
    """

    status, code, title = 409, "credential_refused", "API key rejected"


class KeysRefused(Problem):
    """Alpaca accepts this API key neither for paper nor for live. Copy the key ID and the secret again."""

    status, code, title = 422, "keys_refused", "API key rejected"


class WrongEnvironment(Problem):
    """This API key is for the other environment. Nothing was stored."""

    status, code, title = 422, "wrong_environment", "Wrong environment"


class WrongAccount(Problem):
    """This API key belongs to a different Alpaca account. Add it as a new account. Nothing was changed."""

    status, code, title = 422, "wrong_account", "Different account"


class AnotherAccount(Problem):
    """This API key now belongs to a different Alpaca account than before. Add it as a new account."""

    status, code, title = 409, "wrong_account", "Different account"


class AccountNotOpen(Problem):
    """This account isn't open, so it has no balance. `account_status` is Alpaca's status."""

    status, code, title = 409, "account_not_open", "Account not open"

    @classmethod
    def with_status(cls, account_status: str) -> Self:
        reason = _NOT_OPEN.get(account_status, "See Alpaca's dashboard for what it needs.")
        return cls(f"This account isn't open ({account_status}). {reason}", account_status=account_status)


# Source: AccountStatus in https://docs.alpaca.markets/openapi/trading-api.json.
_NOT_OPEN: Final[Mapping[str, str]] = {
    "INACTIVE": "It isn't set up for trading. Contact Alpaca's support.",
    "ONBOARDING": "Finish the application on Alpaca's dashboard.",
    "SUBMITTED": "Alpaca is reviewing the application.",
    "SUBMISSION_FAILED": "The application couldn't be submitted. See Alpaca's dashboard.",
    "APPROVAL_PENDING": "Alpaca still has to approve the application.",
    "APPROVED": "The application is approved, and the account will open soon.",
    "REJECTED": "Alpaca rejected the application. Contact Alpaca's support.",
    "ACCOUNT_CLOSED": "It was closed. You can remove it from Corral.",
    "ACCOUNT_CLOSED_PENDING": "It is being closed.",
}


class AlpacaRefused(Problem):
    """Alpaca rejected this request; `alpaca_code` is Alpaca's error code. Repeating it won't help."""

    status, code, title = 409, "alpaca_refused", "Request rejected by Alpaca"

    @classmethod
    def with_code(cls, alpaca_code: int) -> Self:
        return cls(
            f"Alpaca rejected this request (code {alpaca_code}). Repeating it won't help. "
            "Alpaca's documentation or support can explain the code.",
            alpaca_code=alpaca_code,
        )


class AccountAlreadyStored(Problem):
    """This Alpaca account is already connected. Replace its API key instead."""

    status, code, title = 409, "account_already_stored", "Account already connected"


class TooManyCredentials(Problem):
    """You have 200 accounts, the maximum. Remove one first."""

    status, code, title = 409, "too_many_credentials", "Too many accounts"


class UpstreamFailed(Problem):
    """Alpaca returned an error."""

    status, code, title = 502, "upstream_failed", "Alpaca error"


class UpstreamUnavailable(Problem):
    """Alpaca can't be reached."""

    status, code, title = 503, "upstream_unavailable", "Alpaca unreachable"


class UpstreamTimeout(Problem):
    """Alpaca isn't responding."""

    status, code, title = 504, "upstream_timeout", "Alpaca isn't responding"


class AccountRateLimited(Problem):
    """Rate limit reached for this account."""

    status, code, title = 429, "account_rate_limited", "Rate limit reached"


# Looked up along the error's base classes, so that a new kind of error is reported like its base class.
_TOLD_AS: dict[type[alpaca.AlpacaError], type[Problem]] = {
    alpaca.AlpacaAuthError: CredentialRefused,
    alpaca.WrongShape: UpstreamFailed,
    alpaca.AlpacaServerError: UpstreamFailed,
    alpaca.Unreachable: UpstreamUnavailable,
    alpaca.DeadlineExceeded: UpstreamTimeout,
    alpaca.AlpacaError: UpstreamFailed,
}


def problem_of(error: alpaca.AlpacaError) -> Problem:
    """Returns the Problem of a failed call with a stored credential, without any of Alpaca's text."""
    if isinstance(error, alpaca.AlpacaRateLimited):
        return AccountRateLimited(retry_after=error.retry_after_seconds)
    if isinstance(error, alpaca.ReadRefused):
        return AlpacaRefused.with_code(error.alpaca_code)
    kind = next(_TOLD_AS[cls] for cls in type(error).__mro__ if cls in _TOLD_AS)
    if kind is UpstreamFailed:
        return UpstreamFailed(_failure_of(error))
    return kind(retry_after=5) if kind is UpstreamUnavailable else kind()


def _failure_of(error: alpaca.AlpacaError) -> str | None:
    """Returns the detail of UpstreamFailed; None for the default."""
    if isinstance(error, alpaca.WrongShape) or error.status == HTTPStatus.OK:
        return "Alpaca's response could not be read."
    return None if error.status is None else f"Alpaca returned an error ({error.status})."


def validation_problem_of(error: alpaca.AlpacaError) -> Problem:
    """Like `problem_of`, for a check of keys, where an unreachable Alpaca is a failed one (502)."""
    problem = problem_of(error)
    if isinstance(problem, UpstreamUnavailable):
        return UpstreamFailed("Alpaca can't be reached, so the API key could not be checked. Nothing was changed.")
    return problem
