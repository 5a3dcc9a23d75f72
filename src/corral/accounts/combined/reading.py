"""Reads all accounts of a user at once: what fails or takes long is named, and delays or hides nothing else."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from corral.accounts.reader import MOST_CALLS_AT_ONCE, AccountReader
from corral.credentials.models import NamedCredential
from corral.credentials.reader import READ, OpenCredential, Purpose
from corral.errors import Problem

Value = TypeVar("Value")
Read = Callable[[OpenCredential], Awaitable[Value]]


@dataclass(frozen=True, slots=True)
class AccountProblem:
    """Why an account is left out, or a part of it."""

    credential: NamedCredential
    problem: Problem

    @property
    def credential_id(self) -> UUID:
        return self.credential.sealed.id


@dataclass(frozen=True, slots=True)
class AccountRead(Generic[Value]):
    credential: NamedCredential
    value: Value

    @property
    def credential_id(self) -> UUID:
        return self.credential.sealed.id


@dataclass(frozen=True, slots=True)
class AccountsRead(Generic[Value]):
    """Each account is in one of the three. Calls of those `pending` go on, and the next request finds their answers."""

    reads: tuple[AccountRead[Value], ...]
    problems: tuple[AccountProblem, ...]
    pending: tuple[NamedCredential, ...]


async def read_accounts(
    credentials: Sequence[NamedCredential],
    read: Read[Value],
    accounts: AccountReader,
    *,
    within_seconds: float | None = None,
    purpose: Purpose = READ,
) -> AccountsRead[Value]:
    """Reads all concurrently, in the order of `credentials`, each with the deadline of a call to Alpaca.

    The credentials have to be loaded for this request. What `read` asks for should be shared (`AccountReader.shared`),
    because only shared calls go on after `within_seconds`.
    """
    slots = asyncio.Semaphore(MOST_CALLS_AT_ONCE)

    async def outcome(credential: NamedCredential) -> AccountRead[Value] | AccountProblem:
        async with slots:
            try:
                return AccountRead(credential, await read(accounts.open_row(credential.sealed, purpose)))
            except Problem as problem:
                return AccountProblem(credential, problem)

    calls = [asyncio.ensure_future(outcome(credential)) for credential in credentials]
    if not calls:
        return AccountsRead((), (), ())
    try:
        await asyncio.wait(calls, timeout=within_seconds)
        outcomes = [call.result() for call in calls if call.done()]
        pending = [credential for credential, call in zip(credentials, calls, strict=True) if not call.done()]
    finally:
        for call in calls:
            call.cancel()
    return AccountsRead(
        tuple(outcome for outcome in outcomes if isinstance(outcome, AccountRead)),
        tuple(outcome for outcome in outcomes if isinstance(outcome, AccountProblem)),
        tuple(pending),
    )
