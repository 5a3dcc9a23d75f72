"""How several accounts stand, asked side by side, each with its answer, its problem, or still under way."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.requests import Request

from corral.accounts.account_data import share_account_data
from corral.accounts.totals import Money, Standing
from corral.credentials.models import NamedCredential
from corral.credentials.opening import not_refused
from corral.errors import Problem

# A sixteenth of the connections to Alpaca: one page of dead accounts leaves the road open for everybody else.
MOST_CALLS_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """`answer` is what account-data would send: its JSON, or the problem; None while it is under way."""

    credential: NamedCredential
    answer: bytes | Problem | None


async def find_outcomes(
    credentials: Sequence[NamedCredential], request: Request, *, within_seconds: float | None = None
) -> list[Outcome]:
    """In the order of `credentials`. Every account has the deadline of a call to Alpaca, and all have `within_seconds`.

    A call that is under way by then goes on, and whoever asks next finds its answer.
    """
    turns = asyncio.Semaphore(MOST_CALLS_AT_ONCE)
    calls = [asyncio.ensure_future(_outcome(credential, turns, request)) for credential in credentials]
    if not calls:
        return []
    try:
        await asyncio.wait(calls, timeout=within_seconds)
        return [
            call.result() if call.done() else Outcome(credential, None)
            for credential, call in zip(credentials, calls, strict=True)
        ]
    finally:
        for call in calls:
            call.cancel()


def standing_of(outcome: Outcome) -> Standing:
    environment = outcome.credential.sealed.credential_type
    if not isinstance(outcome.answer, bytes):
        return Standing(environment, None)
    data = orjson.loads(outcome.answer)
    return Standing(environment, Money(data["currency"], data["balance"], data["equity"], data["buying_power"]))


async def _outcome(credential: NamedCredential, turns: asyncio.Semaphore, request: Request) -> Outcome:
    async with turns:
        try:
            return Outcome(credential, await share_account_data(not_refused(credential.sealed), request))
        except Problem as problem:
            return Outcome(credential, problem)
