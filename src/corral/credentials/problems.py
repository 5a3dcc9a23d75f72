"""What can be told about a stored credential and about Alpaca's part in it."""

from collections.abc import Mapping
from typing import Final, Self

from corral.alpaca import errors as alpaca
from corral.errors import Problem


class CredentialNotFound(Problem):
    """There is no such credential of yours."""

    status, code, title = 404, "credential_not_found", "Credential not found"


class CredentialInactive(Problem):
    """This credential is switched off. Switch it on again to use it."""

    status, code, title = 400, "credential_inactive", "Credential switched off"


class CredentialRefused(Problem):
    """Alpaca no longer accepts these keys. Make new ones on Alpaca's dashboard and replace them here.

    If they should work again, check them here: a good answer from Alpaca is believed at once.
    """

    status, code, title = 409, "credential_refused", "Alpaca refuses the stored keys"


class KeysRefused(Problem):
    """Alpaca accepts this pair of keys neither for paper nor for live trading. Copy both again; nothing was stored."""

    status, code, title = 422, "keys_refused", "Alpaca refuses these keys"


class WrongEnvironment(Problem):
    """These keys belong to the other environment. Nothing was stored."""

    status, code, title = 422, "wrong_environment", "Paper and live are mixed up"


class WrongAccount(Problem):
    """These keys open another Alpaca account. Store them as a credential of their own; nothing was changed."""

    status, code, title = 422, "wrong_account", "Keys of another account"


class AnotherAccount(Problem):
    """These keys now open a different Alpaca account from the one you stored. Store them as a new account."""

    status, code, title = 409, "wrong_account", "Keys of another account"


class AccountNotOpen(Problem):
    """This account isn't open, so it has no balance. `account_status` is Alpaca's word for it."""

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
    """Alpaca refused this request for a reason of its own; `alpaca_code` is its number. Repeating it won't help."""

    status, code, title = 409, "alpaca_refused", "Alpaca refused the request"

    @classmethod
    def with_code(cls, alpaca_code: int) -> Self:
        return cls(
            f"Alpaca refused this request (code {alpaca_code}). Repeating it won't help. "
            "Alpaca's documentation or support can tell you what the code means.",
            alpaca_code=alpaca_code,
        )


class AccountAlreadyStored(Problem):
    """You have stored this Alpaca account already. Replace the keys of that credential instead."""

    status, code, title = 409, "account_already_stored", "Account already stored"


class TooManyCredentials(Problem):
    """You have as many credentials as one person may have, 200. Delete one that you no longer need first."""

    status, code, title = 409, "too_many_credentials", "Too many credentials"


class UpstreamFailed(Problem):
    """Alpaca answered with an error, or with something other than what was asked for. Try again shortly."""

    status, code, title = 502, "upstream_failed", "Alpaca failed to answer"


class UpstreamUnavailable(Problem):
    """Alpaca cannot be reached at the moment. Try again shortly."""

    status, code, title = 503, "upstream_unavailable", "Alpaca unreachable"


class UpstreamTimeout(Problem):
    """Alpaca did not answer in time. Try again shortly."""

    status, code, title = 504, "upstream_timeout", "Alpaca did not answer in time"


class AccountRateLimited(Problem):
    """Alpaca's budget of requests for this account is spent for the moment."""

    status, code, title = 429, "account_rate_limited", "Too many requests for this account"


# Read along the error's own classes, so that a new kind of failure is told as the kind it belongs to.
_TOLD_AS: dict[type[alpaca.AlpacaError], type[Problem]] = {
    alpaca.AlpacaAuthError: CredentialRefused,
    alpaca.WrongShape: UpstreamFailed,
    alpaca.AlpacaServerError: UpstreamFailed,
    alpaca.Unreachable: UpstreamUnavailable,
    alpaca.DeadlineExceeded: UpstreamTimeout,
    alpaca.AlpacaError: UpstreamFailed,
}


def problem_of(error: alpaca.AlpacaError) -> Problem:
    """What a failed call with a stored credential means to its owner. Nothing of Alpaca's own text is in it."""
    if isinstance(error, alpaca.AlpacaRateLimited):
        return AccountRateLimited(retry_after=error.retry_after_seconds)
    if isinstance(error, alpaca.ReadRefused):
        return AlpacaRefused.with_code(error.alpaca_code)
    kind = next(_TOLD_AS[cls] for cls in type(error).__mro__ if cls in _TOLD_AS)
    return kind(retry_after=5) if kind is UpstreamUnavailable else kind()


def validation_problem_of(error: alpaca.AlpacaError) -> Problem:
    """The same while keys are being checked, where an unreachable Alpaca counts as one that failed (502)."""
    problem = problem_of(error)
    if isinstance(problem, UpstreamUnavailable):
        return UpstreamFailed("Alpaca cannot be reached, so these keys could not be checked. Nothing was changed.")
    return problem
