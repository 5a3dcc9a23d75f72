"""The log of an account on real servers: its bounds, and what somebody who can write there can do, which is little."""

import itertools
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from corral.stream import account_log
from corral.stream.account_log import MOST_BYTES, MOST_ENTRIES, MOST_SECONDS, AccountLog, load
from corral.stream.events import Kind, LogPosition, StreamEvent
from corral.stream.lease import Lease, Leases
from corral.stream.news import Handover
from corral.stream.told import Told
from corral.valkey.client import Valkey
from corral.valkey.errors import ValkeyAway
from tests.stream.test_lease import ACCOUNT
from tests.valkey.conftest import engine, patient, server, valkey, vault
from tests.valkey.servers import Server

__all__ = ["engine", "patient", "server", "valkey", "vault"]  # fixtures

SECRET = "a-name-that-nobody-may-read"
ANOTHER = "paper/another-account"


def event(number: int, size: int = 10) -> StreamEvent:
    body = b'{"asset_id":"%d","name":"%b","padding":"%b"}' % (number, SECRET.encode(), b"x" * size)
    return StreamEvent(Kind.POSITION, body, str(number))


async def held(valkey: Valkey, account: str = ACCOUNT) -> tuple[Lease, AccountLog]:
    """A log with its first entry."""
    lease = await Leases(valkey).acquire(account)
    assert lease is not None
    log = AccountLog(valkey, lease)
    assert await log.append([[Handover(None)]])
    return lease, log


def rows(server: Server, lease: Lease) -> list[tuple[bytes, bytes]]:
    with server.client() as client:
        found: Any = client.xrange(lease.keys.log)
    return [(entry_id, fields[b"e"]) for entry_id, fields in found]


def rewrite(server: Server, lease: Lease, entries: list[tuple[bytes, bytes]]) -> None:
    server.ask("DEL", lease.keys.log)
    for entry_id, sealed in entries:
        server.ask("XADD", lease.keys.log, entry_id, "e", sealed)


async def test_a_log_keeps_so_many_entries_and_bytes(valkey: Valkey, server: Server) -> None:
    lease, log = await held(valkey)
    for start in range(0, MOST_ENTRIES + 300, 100):
        await Leases(valkey).renew([lease])
        assert await log.append([[event(start + number)] for number in range(100)])
    assert MOST_ENTRIES <= len(rows(server, lease)) <= MOST_ENTRIES + 100
    for number in range(2 * MOST_BYTES // 20_000):
        await Leases(valkey).renew([lease])
        assert await log.append([[event(number, 20_000)]])
    kept = rows(server, lease)
    assert MOST_BYTES / 2 < sum(len(sealed) for _, sealed in kept) <= MOST_BYTES + 25_000


async def test_a_log_keeps_a_minute(valkey: Valkey, server: Server) -> None:
    lease, log = await held(valkey)
    seconds = itertools.count()
    kept = log._kept  # pyright: ignore[reportPrivateUsage]
    kept.entries.clear()
    kept.clock = lambda: 5.0 * next(seconds)  # twice for each entry
    for number in range(30):
        await Leases(valkey).renew([lease])
        assert await log.append([[event(number)]])
    assert MOST_SECONDS / 10 - 1 <= len(rows(server, lease)) <= MOST_SECONDS / 10 + 2


async def test_nothing_can_be_read_in_the_server_and_every_key_expires(valkey: Valkey, server: Server) -> None:
    lease, log = await held(valkey)
    lease.has_socket = lambda: True
    await Leases(valkey).renew([lease])
    await log.append([[event(1)]])
    told = Told()
    told.take(event(2))
    await log.save(told.dump())
    names = server.keys()
    assert len(names) >= 5
    with server.client() as client:
        stored = b"".join(name + (client.dump(name) or b"") for name in names)
        assert all(client.pttl(name) > 0 for name in names)
    assert all(name.startswith(b"corral:1:") for name in names)
    for canary in (SECRET, *ACCOUNT.split("/")[1:], "handover", "asset_id", "padding"):
        assert canary.encode() not in stored


async def test_entries_whose_answer_was_lost_are_written_once(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    lease, log = await held(valkey)
    ask = valkey.run

    async def run_and_lose(*arguments: Any) -> None:  # noqa: ANN401 - whatever is asked
        await ask(*arguments)
        raise ValkeyAway

    monkeypatch.setattr(valkey, "run", run_and_lose)
    with pytest.raises(ValkeyAway):
        await log.append([[event(1)], [event(2)]])
    monkeypatch.undo()
    assert await log.append([[event(1)], [event(2)]])
    assert await log.append([[event(3)]])
    entries = (await load(valkey, ACCOUNT)).entries
    assert [entry.position.sequence for entry in entries] == [1, 2, 3, 4]
    assert [entry.news for entry in entries[1:]] == [[event(1)], [event(2)], [event(3)]]
    assert log.position == LogPosition(lease.number, 4)


Rows = list[tuple[bytes, bytes]]


def instead(entries: Rows, sealed: bytes) -> Rows:
    """With this in place of the third entry."""
    return [*entries[:2], (entries[2][0], sealed), *entries[3:]]


TAMPERINGS: dict[str, Callable[[Rows, Rows], Rows]] = {
    "one is removed": lambda entries, _: [*entries[:2], *entries[3:]],
    "two are removed": lambda entries, _: [entries[0], entries[3]],
    "one is repeated": lambda entries, _: instead(entries, entries[1][1]),
    "one is moved": lambda entries, _: instead(entries, entries[3][1]),
    "one is made up": lambda entries, _: instead(entries, b"{}"),
    "one is altered": lambda entries, _: instead(entries, entries[2][1][:-1] + b"\0"),
    "one is another account's": lambda entries, others: instead(entries, others[2][1]),
}


@pytest.mark.parametrize(
    "tamper",
    TAMPERINGS.values(),
    ids=TAMPERINGS,
)
async def test_what_was_tampered_with_is_as_good_as_missing(
    valkey: Valkey,
    server: Server,
    tamper: Callable[[Rows, Rows], Rows],
) -> None:
    """So whoever follows has a gap, and nothing that was not told."""
    lease, log = await held(valkey)
    await log.save(Told().dump())
    await log.append([[event(1)], [event(2)], [event(3)]])
    other, others_log = await held(valkey, ANOTHER)
    await others_log.append([[event(7)], [event(8)], [event(9)]])
    first = LogPosition(lease.number, 1)
    untouched = await load(valkey, ACCOUNT)
    assert untouched.after(first) is not None
    assert Told.of(untouched) is not None
    rewrite(server, lease, tamper(rows(server, lease), rows(server, other)))
    loaded = await load(valkey, ACCOUNT)
    assert loaded.after(first) is None
    assert Told.of(loaded) is None
    told = [news for entry in loaded.entries for news in entry.news or ()]
    assert set(told) <= {Handover(None), event(1), event(2), event(3)}


async def test_what_somebody_adds_is_left_out_and_the_holder_goes_on(valkey: Valkey, server: Server) -> None:
    lease, log = await held(valkey)
    await log.append([[event(1)]])
    sealed = rows(server, lease)[1][1]
    for beyond in (LogPosition(lease.number, 3), LogPosition(lease.number + 10**9, 1)):
        server.ask("XADD", lease.keys.log, beyond.entry_id, "e", sealed)
    loaded = await load(valkey, ACCOUNT)
    assert loaded.last == log.position
    assert loaded.after(LogPosition(lease.number, 1)) is not None
    assert await log.append([[event(2)]])
    assert (await load(valkey, ACCOUNT)).last == LogPosition(lease.number, 3)


async def test_a_snapshot_of_another_account_is_as_if_it_were_not_there(valkey: Valkey, server: Server) -> None:
    lease, log = await held(valkey)
    other, others_log = await held(valkey, ANOTHER)
    await log.save(Told().dump())
    await others_log.save(Told().dump())
    server.ask("COPY", other.keys.state, lease.keys.state, "REPLACE")
    assert (await load(valkey, ACCOUNT)).snapshot is None


async def test_what_another_release_wrote_is_as_if_it_were_not_there(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, log = await held(valkey)
    first = log.position
    assert await log.save(Told().dump())
    later: list[Any] = ["of a later release"]
    monkeypatch.setattr(account_log, "written", Mock(return_value=later))
    assert await log.append([[event(1)]])
    loaded = await load(valkey, lease.account)
    assert loaded.after(first) == [], "an entry at the end that can't be read may not be one"
    monkeypatch.undo()
    assert await log.append([[event(2)]])
    loaded = await load(valkey, lease.account)
    assert loaded.after(first) is None
    assert Told.of(loaded) is None
    assert await log.save([later, []])
    assert Told.of(await load(valkey, lease.account)) is None
