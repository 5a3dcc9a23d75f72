"""All accounts of one person on one page: each with its data or its problem, and the totals of what is known."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.requests import Request

from corral import logs
from corral.accounts.account_data import share_account_data
from corral.accounts.totals import Money, Standing, totals_of
from corral.credentials.desk import load_active_credentials
from corral.credentials.models import NamedCredential
from corral.credentials.opening import not_refused
from corral.edge.problems import problem_members
from corral.edge.resources import resources
from corral.errors import Problem
from corral.identity.models import AuthUser

# A sixteenth of the connections to Alpaca: one page of dead accounts leaves the road open for everybody else.
MOST_CALLS_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class _Outcome:
    """`answer` is what account-data would send: its JSON, or the problem."""

    credential: NamedCredential
    answer: bytes | Problem


async def answer_overview(user: AuthUser, request: Request) -> bytes:
    """The answer as JSON. Raises a Problem only where nothing at all can be told.

    Every account has its own deadline, that of a call to Alpaca, and the slowest account decides when all is told.
    """
    credentials = await load_active_credentials(user.id, resources(request).database)
    turns = asyncio.Semaphore(MOST_CALLS_AT_ONCE)
    outcomes = await asyncio.gather(*(_outcome(credential, turns, request) for credential in credentials))
    totals = totals_of(map(_standing, outcomes))
    return orjson.dumps(
        {"items": list(map(_item, outcomes)), "totals": [total.model_dump() for total in totals]}, default=str
    )


async def _outcome(credential: NamedCredential, turns: asyncio.Semaphore, request: Request) -> _Outcome:
    async with turns:
        try:
            return _Outcome(credential, await share_account_data(not_refused(credential.sealed), request))
        except Problem as problem:
            return _Outcome(credential, problem)


def _standing(outcome: _Outcome) -> Standing:
    environment = outcome.credential.sealed.credential_type
    if isinstance(outcome.answer, Problem):
        return Standing(environment, None)
    data = orjson.loads(outcome.answer)
    return Standing(environment, Money(data["currency"], data["balance"], data["equity"], data["buying_power"]))


def _item(outcome: _Outcome) -> dict[str, Any]:
    """Account data goes in as the bytes that they are: byte for byte what account-data sends."""
    answer = outcome.answer
    return {
        "credential": _facts(outcome.credential),
        "account_data": None if isinstance(answer, Problem) else orjson.Fragment(answer),
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
