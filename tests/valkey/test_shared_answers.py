"""One call and one kept answer for all processes: for who has the keys, and not older than allowed."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson
import pytest

from corral.alpaca.calls import ApiRequest, Keys, RawAnswer
from corral.alpaca.environments import Environment
from corral.alpaca.shared_answers import MOST_BYTES, SharedAnswers, ShareScope
from corral.secret import Secret
from corral.valkey.client import Valkey
from corral.valkey.script import Script
from corral.vault import Vault
from tests.valkey.conftest import opened, until
from tests.valkey.servers import PATIENCE, Server

ACCOUNT = ("paper", "PA7CANARY77")
KEYS = Keys(Secret("PKCANARYKEYID"), Secret("canary-secret-key"))
POSITIONS = ApiRequest(Environment.PAPER, "/v2/positions", KEYS, ACCOUNT)
KEEP_SECONDS = 60.0


@dataclass
class Alpaca:
    """Answers when it may, each time with another body."""

    status: int = 200
    size: int = 10
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.may_answer.set()

    async def __call__(self) -> RawAnswer:
        self.calls += 1
        number = self.calls
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        body = orjson.dumps([{"canary": number, "padding": "x" * self.size}])
        return RawAnswer(self.status, {"X-Test": "1"}, body, datetime.now(UTC), f"{number:032x}")


@dataclass
class Process:
    """What one process shares of answers."""

    valkey: Valkey
    alpaca: Alpaca

    def __post_init__(self) -> None:
        self.answers = SharedAnswers(self.valkey)
        self.scope: ShareScope | None = None

    async def ask(
        self, request: ApiRequest = POSITIONS, *, keep: float = KEEP_SECONDS, is_refresh: bool = False
    ) -> RawAnswer:
        """As the cache of this process asks, in a task of its own."""
        return await asyncio.create_task(self._ask(request, keep, is_refresh=is_refresh))

    async def _ask(self, request: ApiRequest, keep: float, *, is_refresh: bool) -> RawAnswer:
        self.scope = ShareScope(keep, is_refresh=is_refresh)
        return await self.answers.get(request, self.alpaca)


@pytest.fixture
def alpaca() -> Alpaca:
    return Alpaca()


@pytest.fixture
def one(valkey: Valkey, alpaca: Alpaca) -> Process:
    return Process(valkey, alpaca)


@pytest.fixture
async def two(server: Server, vault: Vault, patient: None, alpaca: Alpaca) -> AsyncGenerator[Process]:
    async with opened(server.address, vault) as valkey:
        assert valkey.is_here
        yield Process(valkey, alpaca)


async def kept_in(server: Server, process: Process) -> set[bytes]:
    """The names of the kept answers, once what this process has told is done."""
    await process.valkey.run(Script.of("return 1"), [])
    names = server.keys()
    return {name for name in names if b":answer:" in name}


async def test_processes_that_ask_at_the_same_time_make_one_call(one: Process, two: Process, alpaca: Alpaca) -> None:
    alpaca.may_answer.clear()
    asked = [asyncio.ensure_future(process.ask()) for process in (one, two, one, two)]
    await asyncio.sleep(0.2)
    assert alpaca.calls == 1
    alpaca.may_answer.set()
    answers = await asyncio.gather(*asked)
    assert {(answer.status, answer.body, answer.answered_at, answer.alpaca_request_id) for answer in answers} == {
        (200, answers[0].body, answers[0].answered_at, answers[0].alpaca_request_id)
    }
    assert (await two.ask()).body == answers[0].body, "it is kept"
    assert alpaca.calls == 1


@pytest.mark.parametrize(
    "other",
    [
        ApiRequest(Environment.LIVE, "/v2/positions", KEYS, ACCOUNT),
        ApiRequest(Environment.PAPER, "/v2/orders", KEYS, ACCOUNT),
        ApiRequest(Environment.PAPER, "/v2/positions", KEYS, ACCOUNT, {"limit": "1"}),
        ApiRequest(Environment.PAPER, "/v2/positions", Keys(KEYS.api_key, Secret("another")), ACCOUNT),
        ApiRequest(Environment.PAPER, "/v2/positions", Keys(Secret("another"), KEYS.secret_key), ACCOUNT),
        ApiRequest(Environment.PAPER, "/v2/positions", Keys(KEYS.secret_key, KEYS.api_key), ACCOUNT),
    ],
    ids=["money", "path", "query", "secret", "key id", "swapped"],
)
async def test_only_the_same_question_with_the_same_keys_is_shared(
    one: Process, two: Process, other: ApiRequest
) -> None:
    mine = await one.ask()
    assert (await two.ask(other)).body != mine.body
    assert (await two.ask()).body == mine.body


async def test_an_answer_is_not_kept_longer_than_allowed_and_its_age_is_known(
    one: Process, two: Process, alpaca: Alpaca
) -> None:
    first = await one.ask(keep=1.5)
    await asyncio.sleep(0.3)
    assert (await two.ask(keep=1.5)).body == first.body
    assert one.scope is not None
    assert two.scope is not None
    assert one.scope.age_seconds == 0
    assert 0.25 <= two.scope.age_seconds <= 1.5
    await asyncio.sleep(1.5)
    assert (await two.ask(keep=1.5)).body != first.body
    assert (await one.ask(keep=20)).body != first.body, "what may be kept for another time is another answer"
    assert alpaca.calls == 3


async def test_a_refresh_takes_no_answer_in_the_second_half_of_its_time(one: Process, two: Process) -> None:
    first = await one.ask(keep=4)
    assert (await two.ask(keep=4, is_refresh=True)).body == first.body
    await asyncio.sleep(2.2)
    asked = await two.ask(keep=4, is_refresh=True)
    assert asked.body != first.body
    assert (await one.ask(keep=4, is_refresh=True)).body == asked.body, "one refresh is enough for all"


@pytest.mark.parametrize(("status", "size"), [(401, 10), (500, 10), (404, 10), (200, MOST_BYTES)])
async def test_failures_and_long_answers_are_not_shared(
    one: Process, two: Process, alpaca: Alpaca, status: int, size: int
) -> None:
    alpaca.status, alpaca.size = status, size
    assert (await one.ask()).status == status
    assert (await two.ask()).status == status
    assert alpaca.calls == 2


async def test_who_waits_for_a_call_that_fails_makes_one(one: Process, two: Process, alpaca: Alpaca) -> None:
    alpaca.may_answer.clear()
    alpaca.error = ConnectionError()
    failing = asyncio.ensure_future(one.ask())
    await until(lambda: alpaca.calls == 1, "asked")
    waiting = asyncio.ensure_future(two.ask())
    await asyncio.sleep(0.1)
    alpaca.may_answer.set()
    with pytest.raises(ConnectionError):
        await failing
    alpaca.error = None
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(waiting, return_exceptions=True)
    assert alpaca.calls == 2


async def test_a_process_that_is_gone_keeps_the_others_for_two_seconds_at_most(
    one: Process, two: Process, alpaca: Alpaca, server: Server
) -> None:
    alpaca.may_answer.clear()
    gone = asyncio.ensure_future(one.ask())
    await until(lambda: alpaca.calls == 1, "asked")
    one.valkey._pipeline = None  # pyright: ignore[reportPrivateUsage]  # it says nothing any more
    alpaca.may_answer.set()
    await gone
    assert (await asyncio.wait_for(two.ask(), PATIENCE)).status == 200
    assert alpaca.calls == 2


async def test_after_a_change_no_process_takes_what_was_asked_before(
    one: Process, two: Process, alpaca: Alpaca
) -> None:
    first = await one.ask()
    alpaca.may_answer.clear()
    under_way = asyncio.ensure_future(one.ask(ApiRequest(Environment.PAPER, "/v2/orders", KEYS, ACCOUNT)))
    await until(lambda: alpaca.calls == 2, "asked")
    two.answers.change(ACCOUNT)
    await two.valkey.run(Script.of("return 1"), [])  # what was told before is done
    alpaca.may_answer.set()
    await under_way
    assert (await one.ask()).body != first.body
    await two.ask(ApiRequest(Environment.PAPER, "/v2/orders", KEYS, ACCOUNT))
    assert alpaca.calls == 4


async def test_changes_are_heard_by_all_processes(one: Process, two: Process, server: Server) -> None:
    heard, missed = list[str](), list[None]()
    hearing = asyncio.ensure_future(two.answers.hear(heard.append, lambda: missed.append(None)))
    await until(lambda: len(missed) == 1, "begun")
    for account in (ACCOUNT, ("live", "another")):
        one.answers.change(account)
    await until(lambda: len(heard) == 2, "heard")
    assert heard == [two.answers.stamp_key(ACCOUNT), two.answers.stamp_key(("live", "another"))]
    server.kill()
    await until(lambda: not two.valkey.is_here, "away")
    before = len(missed)
    await asyncio.sleep(1)
    assert len(missed) == before, "while Valkey is away, answers are kept as without it"
    server.start()
    await until(lambda: len(missed) > before, "what may have been missed")
    await until(lambda: one.valkey.is_here, "back")
    one.answers.change(ACCOUNT)
    await until(lambda: len(heard) == 3, "heard again")
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)


async def test_what_is_not_to_be_kept_is_not_shared(one: Process, alpaca: Alpaca) -> None:
    await one.answers.get(POSITIONS, alpaca)
    await one.answers.get(POSITIONS, alpaca)
    await one.ask(keep=0)
    await one.ask(keep=0)
    assert alpaca.calls == 4

    async def ask_later() -> None:
        ShareScope(KEEP_SECONDS, is_refresh=False).close()  # what was started by a call outlives it
        await one.answers.get(POSITIONS, alpaca)

    await asyncio.create_task(ask_later())
    assert (await one.ask()).body
    assert alpaca.calls == 6


async def test_without_valkey_each_asks_for_itself(one: Process, alpaca: Alpaca, server: Server) -> None:
    await one.ask()
    server.kill()
    await until(lambda: not one.valkey.is_here, "away")
    await one.ask()
    one.answers.change(ACCOUNT)
    assert alpaca.calls == 2


@pytest.mark.parametrize("how", ["moved", "altered", "made up", "empty"])
async def test_what_somebody_wrote_there_by_hand_is_never_an_answer(
    one: Process, two: Process, alpaca: Alpaca, server: Server, how: str
) -> None:
    await one.ask()
    (name,) = await kept_in(server, one)
    sealed = server.ask("GET", name)
    assert isinstance(sealed, bytes)
    other = ApiRequest(Environment.PAPER, "/v2/orders", KEYS, ACCOUNT)
    await one.ask(other)
    (place,) = await kept_in(server, one) - {name}
    match how:
        case "moved":
            server.ask("SET", place, sealed, "PX", "60000")
        case "altered":
            server.ask("SET", place, sealed[:-1] + bytes([sealed[-1] ^ 1]), "PX", "60000")
        case "made up":
            server.ask("SET", place, b" [[]]", "PX", "60000")
        case "empty":
            server.ask("SET", place, b" ", "PX", "60000")
        case _:
            raise AssertionError(how)
    before = alpaca.calls
    answer = await two.ask(other)
    assert orjson.loads(answer.body)[0]["canary"] == alpaca.calls == before + 1


async def test_nothing_in_the_server_says_what_was_asked_or_answered(one: Process, server: Server) -> None:
    with server.client() as client, client.monitor() as monitor:
        await one.ask()
        one.answers.change(ACCOUNT)
        await one.ask()
        wire: list[str] = []
        server.ask("ECHO", "that is all")
        while not wire or "that is all" not in wire[-1]:
            wire.append(str(monitor.next_command()))
    names = server.keys()
    memory = b"".join(bytes(str(server.ask("DUMP", name)), "utf-8") + name for name in names)
    for name in names:
        assert name.startswith(b"corral:1:")
        assert 0 < int(str(server.ask("PTTL", name))) <= 600_000
    for secret in ("CANARY", "canary", "positions", "padding", "paper"):
        assert secret not in "\n".join(wire)
        assert secret.encode() not in memory


async def test_an_answer_that_somebody_kept_in_the_server_is_too_old(
    one: Process, two: Process, server: Server
) -> None:
    first = await one.ask(keep=1.5)
    (name,) = await kept_in(server, one)
    server.ask("PEXPIRE", name, "60000")
    await asyncio.sleep(1.6)
    assert (await two.ask(keep=1.5)).body != first.body
