"""The gateway beside Alpaca itself: what it adds to a read and to an order at a steady rate, and its most reads."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

import orjson
from aiohttp import ClientSession

from benchmarks.accounts import Owner
from benchmarks.audit import bare_commit
from benchmarks.load import Job, Question, Report, Window
from benchmarks.steady import Comparison, SteadyJob, Target
from corral.credentials.management import load_credentials
from corral.database.connection import Database, get_connection_with_rls
from corral.grants import queries
from corral.grants.access import Access
from corral.grants.key_pairs import SECRET_FORM, new_key_id, seal_secret, secret_lookup
from corral.grants.models import GrantTerms, SecretRow
from corral.identity.queries import read_clock
from corral.vault import Vault
from corral_sandbox import secret_of

LATENCIES: Final = {"at once": 0.0, "after 80 ms": 0.08}
ACCOUNTS: Final = 400
PER_SECOND: Final = 200
_TURNS: Final = 5  # of a second, for each side
_WINDOW: Final = Window(warm_up=2, measured=5)
_CLIENTS: Final = 256
_SYMBOLS: Final = ("AAPL", "AMZN", "F", "JPM", "KO", "MSFT", "NVDA", "PLTR", "SPY", "XOM")
_ORDER: Final = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}


@dataclass(frozen=True, slots=True)
class Program:
    """A grant to trade on an account, and the account's own keys. `number` tells the accounts from each other."""

    number: int
    user_id: UUID
    account_key: str
    grant_key: str
    grant_secret: str

    @property
    def keys(self) -> dict[str, str]:
        return _headers(self.account_key, secret_of(self.account_key))

    @property
    def grant(self) -> dict[str, str]:
        return _headers(self.grant_key, self.grant_secret)


@dataclass(frozen=True, slots=True)
class GatewayLoad:
    """With Alpaca answering after some time: reads and orders at a steady rate, and as many reads as there can be."""

    reads: Comparison
    orders: Comparison
    most: Report


@dataclass(frozen=True, slots=True)
class GatewayFigures:
    """`loads` are by the names in `LATENCIES`; `commit_ms` is how long bare commits took, at the rate of the orders."""

    loads: Mapping[str, GatewayLoad]
    commit_ms: list[float]


async def store_programs(database: Database, vault: Vault, people: list[Owner]) -> list[Program]:
    """Neighbours are of different people."""
    each = ACCOUNTS // len(people)
    turns = [await _store_grants(database, vault, person, each) for person in people]
    grants = [grant for turn in zip(*turns, strict=True) for grant in turn]
    return [Program(1_000 + number, *grant) for number, grant in enumerate(grants)]


async def _store_grants(database: Database, vault: Vault, person: Owner, most: int) -> list[tuple[UUID, str, str, str]]:
    """Returns the user's id, the account's API key, and the grant's key ID and secret of each."""
    credentials = (await load_credentials(person.user_id, database))[:most]
    made: list[tuple[UUID, str, str, str]] = []
    async with get_connection_with_rls(person.user_id, database) as connection:
        now = await read_clock(connection)
        for credential in credentials:
            terms = GrantTerms(
                person.user_id, uuid4(), credential.id, new_key_id(), Access.TRADE, None, now, now + timedelta(days=1)
            )
            secret = SECRET_FORM.new()
            await queries.insert_grant(connection, terms, "benchmark")
            row = SecretRow(secret_lookup(vault, secret), b"", None)
            await queries.replace_secrets(connection, terms, [seal_secret(vault, terms, row)])
            made.append((person.user_id, credential.nickname, terms.key_id, secret))
    return made


async def open_positions(programs: list[Program], sandbox_url: str) -> None:
    """Ten in each account, and cash for orders."""
    async with ClientSession(sandbox_url) as broker:
        for program in programs:
            positions = [
                {"symbol": symbol, "qty": str(program.number), "avg_entry_price": "9.50"} for symbol in _SYMBOLS
            ]
            content = {"cash": "1000000", "positions": positions}
            async with broker.put(f"/_accounts/{program.account_key}", json=content) as answer:
                assert answer.status == 200, await answer.text()


async def commit_steadily(database: Database, programs: list[Program]) -> list[float]:
    """One row changed and on the disk, for the owners of the accounts in turn, at the rate of the orders."""
    tasks: list[asyncio.Task[float]] = []
    began = time.perf_counter()
    for number in range(2 * PER_SECOND):
        await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
        tasks.append(asyncio.create_task(bare_commit(database, programs[number % len(programs)].user_id)))
    return await asyncio.gather(*tasks)


def reads_job(programs: list[Program], *, url: str, sandbox_url: str, server_pid: int) -> SteadyJob:
    return _steady_job(
        [_read(program, "/paper/v2/positions", program.keys) for program in programs],
        [_read(program, "/alpaca/v2/positions", program.grant) for program in programs],
        url=url, sandbox_url=sandbox_url, server_pid=server_pid,
    )  # fmt: skip


def orders_job(programs: list[Program], *, url: str, sandbox_url: str, server_pid: int) -> SteadyJob:
    return _steady_job(
        [_order("/paper/v2/orders", program.keys) for program in programs],
        [_order("/alpaca/v2/orders", program.grant) for program in programs],
        url=url, sandbox_url=sandbox_url, server_pid=server_pid,
    )  # fmt: skip


def most_reads_job(programs: list[Program], *, url: str, server_pid: int) -> Job:
    questions = [_read(program, "/alpaca/v2/positions", program.grant) for program in programs]
    return Job(url=url, server_pid=server_pid, clients=_CLIENTS, questions=questions, window=_WINDOW)


def _steady_job(
    direct: list[Question], through: list[Question], *, url: str, sandbox_url: str, server_pid: int
) -> SteadyJob:
    return SteadyJob(
        direct=Target(url=sandbox_url, questions=direct),
        through=Target(url=url, questions=through),
        server_pid=server_pid,
        per_second=PER_SECOND,
        turns=_TURNS,
    )


def _read(program: Program, path: str, headers: dict[str, str]) -> Question:
    """Orders buy one symbol only, so the other quantities show whose the answer is."""
    return Question(path=path, headers=headers, expected=f'"qty":"{program.number}"')


def _order(path: str, headers: dict[str, str]) -> Question:
    content = {**headers, "Content-Type": "application/json"}
    return Question(path=path, headers=content, body=orjson.dumps(_ORDER).decode(), expected='"pending_new"')


def _headers(key_id: str, secret_key: str) -> dict[str, str]:
    return {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret_key}
