"""All accounts of one person on one page: each with its data or its problem, and the totals of what is known."""

from typing import Any

import orjson
from starlette.requests import Request

from corral import logs
from corral.accounts.standings import Outcome, find_outcomes, standing_of
from corral.accounts.totals import totals_of
from corral.credentials.desk import load_active_credentials
from corral.credentials.models import NamedCredential
from corral.edge.problems import problem_members
from corral.edge.resources import resources
from corral.errors import Problem
from corral.identity.models import AuthUser


async def answer_overview(user: AuthUser, request: Request) -> bytes:
    """The answer as JSON. Raises a Problem only where nothing at all can be told.

    Every account has its own deadline, that of a call to Alpaca, and the slowest account decides when all is told.
    """
    credentials = await load_active_credentials(user.id, resources(request).database)
    outcomes = await find_outcomes(credentials, request)
    totals = totals_of(map(standing_of, outcomes))
    return orjson.dumps(
        {"items": list(map(_item, outcomes)), "totals": [total.model_dump() for total in totals]}, default=str
    )


def _item(outcome: Outcome) -> dict[str, Any]:
    """Account data goes in as the bytes that they are: byte for byte what account-data sends."""
    answer = outcome.answer
    return {
        "credential": _facts(outcome.credential),
        "account_data": orjson.Fragment(answer) if isinstance(answer, bytes) else None,
        "problem": _problem(answer) if isinstance(answer, Problem) else None,
    }


def _facts(credential: NamedCredential) -> dict[str, object]:
    return {
        "id": credential.sealed.id,
        "nickname": credential.nickname,
        "credential_type": credential.sealed.credential_type,
        "account_number": credential.account_number,
    }


def _problem(problem: Problem) -> dict[str, Any]:
    members = problem_members(problem, logs.current_request_id() or "")
    return members if problem.retry_after is None else {**members, "retry_after": problem.retry_after}
