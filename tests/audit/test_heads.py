"""Heads are published to a file that is only added to, and to the log: each once, at most."""

import asyncio
import fcntl
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from corral.audit import heads, queries
from corral.audit.heads import HeadPublisher, PublishedHead, load_heads
from corral.audit.trail import AuditTrail
from tests.audit.trails import paused
from tests.conftest import Service
from tests.log_lines import LogSince
from tests.people import Person


async def publish(publisher: HeadPublisher, service: Service, trail: AuditTrail) -> None:
    await publisher.publish(await queries.note_process(service.resources.database, trail.process_id))


async def test_a_head_is_published_once_to_the_file_and_to_the_log(
    service: Service, alice: Person, trail: AuditTrail, tmp_path: Path, log: LogSince
) -> None:
    file = tmp_path / "data" / "audit-heads.jsonl"
    publisher = HeadPublisher(service.resources.database, file)
    await trail.record(alice.user_id, paused()[0])
    await publish(publisher, service, trail)
    await publish(publisher, service, trail)
    entry = await trail.record(alice.user_id, paused()[0])
    await publish(publisher, service, trail)
    published = load_heads(file)[alice.user_id]
    assert list(published) == [entry.seq - 1, entry.seq]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = [
        line for line in map(orjson.loads, file.read_bytes().splitlines()) if line["user_id"] == str(alice.user_id)
    ]
    assert len(lines) == 2
    logged = await log.awaited("audit_head", user_id=str(alice.user_id), seq=entry.seq)
    assert bytes.fromhex(logged["mac"]) == published[entry.seq].mac


async def test_after_a_restart_only_heads_that_moved_since_are_published(
    service: Service, alice: Person, bob: Person, trail: AuditTrail, tmp_path: Path
) -> None:
    file = tmp_path / "audit-heads.jsonl"
    await publish(HeadPublisher(service.resources.database, file), service, trail)
    await trail.record(bob.user_id, paused()[0])
    await publish(HeadPublisher(service.resources.database, file), service, trail)
    published = load_heads(file)
    assert (len(published[alice.user_id]), len(published[bob.user_id])) == (1, 2)


async def test_workers_that_publish_to_one_file_publish_each_head_once(
    service: Service, alice: Person, trail: AuditTrail, tmp_path: Path
) -> None:
    file = tmp_path / "audit-heads.jsonl"
    one, other = (HeadPublisher(service.resources.database, file) for _ in range(2))
    for _ in range(3):
        await trail.record(alice.user_id, paused()[0])
        await asyncio.gather(publish(one, service, trail), publish(other, service, trail))
    lines = [line for line in file.read_text().splitlines() if str(alice.user_id) in line]
    assert [orjson.loads(line)["seq"] for line in lines] == sorted(load_heads(file)[alice.user_id])
    assert len(lines) == 3


async def test_a_worker_waits_for_another_one_that_has_the_file(
    service: Service, alice: Person, trail: AuditTrail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "audit-heads.jsonl"
    file.touch(0o600)
    with file.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def wait(_: float) -> None:
            fcntl.flock(other, fcntl.LOCK_UN)

        monkeypatch.setattr(heads, "time", SimpleNamespace(monotonic=time.monotonic, sleep=wait))
        await publish(HeadPublisher(service.resources.database, file), service, trail)
    assert alice.user_id in load_heads(file)


async def test_a_file_that_another_process_does_not_give_back_is_reported(
    service: Service, alice: Person, trail: AuditTrail, tmp_path: Path, log: LogSince, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "audit-heads.jsonl"
    file.touch(0o600)
    publisher = HeadPublisher(service.resources.database, file)
    with file.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        monkeypatch.setattr(heads, "_PATIENCE_SECONDS", 0.05)
        await publish(publisher, service, trail)
        assert await log.awaited("audit_heads_unpublished", path=str(file))
    await publish(publisher, service, trail)
    assert alice.user_id in load_heads(file)


async def test_a_file_of_heads_that_was_moved_away_is_begun_anew(
    service: Service, alice: Person, trail: AuditTrail, tmp_path: Path
) -> None:
    file = tmp_path / "audit-heads.jsonl"
    publisher = HeadPublisher(service.resources.database, file)
    for _ in range(2):
        await trail.record(alice.user_id, paused()[0])
        await publish(publisher, service, trail)
    file.rename(tmp_path / "audit-heads.1")
    entry = await trail.record(alice.user_id, paused()[0])
    await publish(publisher, service, trail)
    assert list(load_heads(file)[alice.user_id]) == [entry.seq]


async def test_a_log_can_be_read_as_published_heads(tmp_path: Path, alice: Person) -> None:
    file = tmp_path / "corral.log"
    head = {"event": "audit_head", "user_id": str(alice.user_id), "seq": 7, "mac": "00ff", "level": "info"}
    file.write_bytes(b"\n".join([b"not json", b"[]", b'{"event":"ready"}', orjson.dumps(head), b'{"user_id":"half']))
    assert load_heads(file) == {alice.user_id: {7: PublishedHead(b"\x00\xff", None)}}


async def test_a_head_tells_when_it_was_published_if_its_line_does(tmp_path: Path, alice: Person) -> None:
    file, head = tmp_path / "corral.log", {"user_id": str(alice.user_id), "mac": "00"}
    times = {"published_at": "2026-11-24T14:30:00Z"}, {"at": "2026-11-24T14:30:00.5Z"}, {"at": "2026-11-24T14:30:00"}
    file.write_bytes(b"\n".join(orjson.dumps(head | {"seq": seq} | time) for seq, time in enumerate(times, 1)))
    published = load_heads(file)[alice.user_id]
    told = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)
    assert [published[seq].published_at for seq in (1, 2, 3)] == [told, told + timedelta(milliseconds=500), None]


async def test_a_head_with_the_number_of_one_from_before_a_restore_is_published(
    service: Service, alice: Person, trail: AuditTrail, tmp_path: Path
) -> None:
    file = tmp_path / "audit-heads.jsonl"
    entry = await trail.record(alice.user_id, paused()[0])
    former = {"user_id": str(alice.user_id), "seq": entry.seq, "mac": "00", "published_at": "2026-11-24T14:30:00Z"}
    file.write_bytes(orjson.dumps(former) + b"\n")
    await publish(HeadPublisher(service.resources.database, file), service, trail)
    assert load_heads(file)[alice.user_id][entry.seq].mac != b"\x00"


async def test_a_file_that_cannot_be_written_is_reported_once_and_nothing_is_lost(
    service: Service, alice: Person, trail: AuditTrail, tmp_path: Path, log: LogSince
) -> None:
    file = tmp_path / "audit-heads.jsonl"
    file.mkdir()
    publisher = HeadPublisher(service.resources.database, file)
    for _ in range(2):
        await publisher.publish(datetime.now(UTC) + timedelta(hours=1))
    await log.awaited("audit_heads_unpublished")
    assert len(log.alarms("audit_heads_unpublished")) == 1
    file.rmdir()
    await publish(publisher, service, trail)
    assert alice.user_id in load_heads(file)
