"""The first entry that was changed, is missing or out of order is named; a chain that is not anchored is told apart."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import orjson
import pytest

from corral.audit import queries, verification
from corral.audit.chain import EMPTY, canonical_text, extend_chain
from corral.audit.heads import PublishedHead, PublishedHeads
from corral.audit.models import OPERATOR_ACTOR, Action, Head, Link, NewEntry
from corral.audit.trail import AuditTrail
from corral.audit.verification import ChainCheck, ChainReport, ExportCheck, NotAnExport, verify_chains
from corral.vault import Vault, make_keyring
from tests.audit.trails import paused
from tests.conftest import Service
from tests.people import Person

ALICE, BOB = UUID(int=1), UUID(int=2)
MOMENT = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)


@pytest.fixture
def chain(vault: Vault) -> list[Link]:
    return list(extend_chain(vault, ALICE, EMPTY, MOMENT, paused(9)))


def heads_of(macs: Mapping[int, bytes], moment: datetime | None = MOMENT) -> dict[int, PublishedHead]:
    return {seq: PublishedHead(mac, moment) for seq, mac in macs.items()}


def report_of(
    vault: Vault, links: Sequence[Link], end: Link | None = None, published: Mapping[int, bytes] | None = None
) -> ChainReport:
    check = ChainCheck(vault, ALICE, heads_of(published or {}))
    for link in links:
        check.add(link)
    end = end or links[-1]
    return check.finish(Head(end.seq, end.mac))


def test_a_whole_chain_has_no_fault(vault: Vault, chain: list[Link]) -> None:
    assert report_of(vault, chain) == ChainReport(ALICE, 9, None, 0)
    assert report_of(vault, chain, published={9: chain[-1].mac}).is_anchored
    assert not report_of(vault, chain, published={8: chain[-2].mac}).is_anchored


def test_the_first_fault_of_a_chain_is_named(vault: Vault, chain: list[Link]) -> None:
    forged = Link(5, canonical_text(ALICE, 5, MOMENT, paused()[0]), chain[4].mac)
    bobs = list(extend_chain(vault, BOB, EMPTY, MOMENT, paused(9)))
    swapped = [*chain[:4], replace(chain[5], seq=5), replace(chain[4], seq=6), *chain[6:]]
    faults = {
        "entry 5 was changed": [
            *chain[:4],
            replace(chain[4], body=chain[4].body.replace("paused", "resumed")),
            *chain[5:],
        ],
        "entry 5 was changed ": [*chain[:4], forged, *chain[5:]],
        "entry 5 was changed  ": [*chain[:4], replace(chain[4], mac=chain[3].mac), *chain[5:]],
        "entry 5 was changed   ": [*chain[:4], replace(chain[4], body="{}"), *chain[5:]],
        "entry 5 is missing": [*chain[:4], *chain[5:]],
        "entries 5 to 7 are missing": [*chain[:4], *chain[7:]],
        "entry 1 is missing": chain[1:],
        "entry 5 is out of order: it comes later": [*chain[:4], chain[5], chain[4], *chain[6:]],
        "entry 5 is out of order: entry 6 is in its place": swapped,
        "entry 5 is there twice": [*chain[:5], *chain[4:]],
        "entry 5 is from another person's trail": [*chain[:4], bobs[4], *chain[5:]],
        "entry 1 was changed, or is of another keyring": [replace(chain[0], mac=chain[1].mac), *chain[1:]],
    }
    for fault, links in faults.items():
        assert report_of(vault, links, chain[-1]).problem == fault.rstrip(), fault


def test_a_chain_whose_end_was_cut_off_is_found_by_its_head_or_a_published_one(vault: Vault, chain: list[Link]) -> None:
    later = {9: chain[8].mac}
    assert report_of(vault, chain[:8], chain[8]).problem == "entry 9 is missing at the end"
    assert report_of(vault, chain[:6]).problem is None, "nothing in the chain itself tells"
    found = report_of(vault, chain[:6], published=later)
    assert found.problem == "entries 7 to 9 are missing at the end: a later head was published"
    assert ChainCheck(vault, ALICE, heads_of(later)).finish(None).problem is not None


# What a restore leaves of a chain: some of its entries, and one that says so.
RESTORED = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)


def restored_chain(vault: Vault, chain: list[Link], kept: int, more: int) -> list[Link]:
    """The first entries of the chain, the entry of the restore, and some that came later."""
    links = chain[:kept]
    head = Head(kept, links[-1].mac) if links else EMPTY
    entries = [NewEntry(OPERATOR_ACTOR, Action.INSTALLATION_RESTORED), *paused(more)]
    return [*links, *extend_chain(vault, ALICE, head, RESTORED, entries)]


def test_heads_that_were_published_before_a_restore_are_explained_by_its_entry(vault: Vault, chain: list[Link]) -> None:
    links = restored_chain(vault, chain, kept=6, more=2)
    found = report_of(vault, links, published={4: chain[3].mac, 7: chain[6].mac, 9: chain[8].mac})
    assert found.problem is None
    assert found.restored == "a backup was restored at 2026-11-26 09:00 UTC; entries 7 to 9 are gone since"
    assert found.anchored_to == 4


@pytest.mark.parametrize("moment", [RESTORED + timedelta(minutes=1), None])
def test_heads_of_after_a_restore_or_of_no_known_time_are_not(
    moment: datetime | None, vault: Vault, chain: list[Link]
) -> None:
    links = restored_chain(vault, chain, kept=6, more=2)
    check = ChainCheck(vault, ALICE, heads_of({7: links[6].mac, 12: chain[8].mac}, moment))
    for link in links:
        check.add(link)
    found = check.finish(Head(9, links[-1].mac))
    assert found.problem == "entries 10 to 12 are missing at the end: a later head was published"
    assert found.restored is None


def test_an_entry_that_is_from_before_the_restore_must_still_be_the_one_that_was_published(
    vault: Vault, chain: list[Link]
) -> None:
    links = restored_chain(vault, chain, kept=6, more=0)
    assert report_of(vault, links, published={6: chain[8].mac}).problem == (
        "entry 6 is not the one whose head was published"
    )


def test_only_a_genuine_entry_of_a_restore_explains_anything(vault: Vault, chain: list[Link]) -> None:
    links = restored_chain(vault, chain, kept=6, more=0)
    links[-1] = Link(7, links[-1].body, chain[6].mac)
    assert report_of(vault, links, published={9: chain[8].mac}).problem == "entry 7 was changed"
    named = NewEntry(OPERATOR_ACTOR, Action.TOKEN_MADE, details={"name": Action.INSTALLATION_RESTORED})
    other = list(extend_chain(vault, ALICE, EMPTY, RESTORED, [named]))
    assert report_of(vault, other, published={9: chain[8].mac}).problem is not None


def test_a_person_who_was_added_after_the_backup_is_explained_by_the_restore_and_nobody_else(
    vault: Vault, chain: list[Link]
) -> None:
    lost = ChainCheck(vault, ALICE, heads_of({9: chain[8].mac}))
    found = lost.finish(None, RESTORED)
    assert found.problem is None
    assert found.restored == "a backup was restored at 2026-11-26 09:00 UTC; entries 1 to 9 are gone since"
    for moment in (RESTORED + timedelta(seconds=1), None):
        missed = ChainCheck(vault, ALICE, heads_of({9: chain[8].mac}, moment))
        assert missed.finish(None, RESTORED).problem is not None
    emptied = ChainCheck(vault, ALICE, heads_of({9: chain[8].mac}))
    assert emptied.finish(EMPTY, RESTORED).problem is not None


def test_a_chain_that_was_written_anew_with_the_keyring_is_found_by_a_published_head(
    vault: Vault, chain: list[Link]
) -> None:
    anew = list(extend_chain(vault, ALICE, EMPTY, MOMENT, [*paused(4), *paused(5)]))
    assert report_of(vault, anew).problem is None
    found = report_of(vault, anew, published={9: chain[8].mac})
    assert found.problem == "entry 9 is not the one whose head was published"


def test_a_head_that_was_changed_is_found(vault: Vault, chain: list[Link]) -> None:
    assert report_of(vault, chain, chain[7]).problem == "the head was changed: it says that entry 8 is the last one"


async def reports_of_database(owner: asyncpg.Connection, vault: Vault, person: Person) -> ChainReport:
    read: list[int] = []
    async with queries.open_snapshot(owner):
        reports = await verify_chains(owner, vault, {}, read.append)
    (report,) = (one for one in reports if one.user_id == person.user_id)
    assert sum(read) >= report.entries
    return report


_TABLE = "corral.audit_entries"
_CHANGES = {
    f"UPDATE {_TABLE} SET body = replace(body, 'paused', 'resumed') WHERE {{}} AND seq = 3": "entry 3 was changed",
    f"DELETE FROM {_TABLE} WHERE {{}} AND seq = 3": "entry 3 is missing",
    f"DELETE FROM {_TABLE} WHERE {{}} AND seq > 3": "entries 4 to 6 are missing at the end",
    f"DELETE FROM {_TABLE} WHERE {{}}": "entries 1 to 6 are missing at the end",
    f"""
    UPDATE {_TABLE} SET seq = CASE seq WHEN 3 THEN -4 ELSE -3 END WHERE {{}} AND seq IN (3, 4);
    UPDATE {_TABLE} SET seq = -seq WHERE {{}} AND seq < 0
    """: "entry 3 is out of order: entry 4 is in its place",
}


@pytest.mark.parametrize(("change", "problem"), _CHANGES.items(), ids=_CHANGES.values())
async def test_whoever_changes_the_database_by_hand_is_found(
    service: Service, alice: Person, owner: asyncpg.Connection, trail: AuditTrail, change: str, problem: str
) -> None:
    for entry in paused(5):
        await trail.record(alice.user_id, entry)
    vault = service.resources.vault
    assert (await reports_of_database(owner, vault, alice)).problem is None
    async with owner.transaction():  # so that nobody else sees the triggers switched off
        await owner.execute("ALTER TABLE corral.audit_entries DISABLE TRIGGER USER")
        await owner.execute(change.replace("{}", f"user_id = '{alice.user_id}'"))
        await owner.execute("ALTER TABLE corral.audit_entries ENABLE TRIGGER USER")
    assert (await reports_of_database(owner, vault, alice)).problem == problem


async def exported(alice: Person, file: Path) -> bytes:
    async with alice.client.get("/api/audit.jsonl") as answer:
        assert (answer.status, answer.content_type) == (200, "application/jsonl")
        content = await answer.read()
    await asyncio.to_thread(file.write_bytes, content)
    return content


def check_export(file: Path, vault: Vault, published: PublishedHeads | None = None) -> ChainReport:
    check = ExportCheck(file, vault, published or {})
    list(check.read())
    return check.finish()


async def test_an_export_is_verified_without_the_database_and_one_changed_byte_is_found(
    service: Service, alice: Person, trail: AuditTrail, tmp_path: Path
) -> None:
    for entry in paused(3):
        await trail.record(alice.user_id, entry)
    file, vault = tmp_path / "audit.jsonl", service.resources.vault
    content = await exported(alice, file)
    assert check_export(file, vault) == ChainReport(alice.user_id, 4, None, 0)
    head = bytes.fromhex(orjson.loads(content.splitlines()[0])["last_mac"])
    assert check_export(file, vault, {alice.user_id: heads_of({4: head})}).is_anchored
    file.write_bytes(content.replace(b'"number":"1"', b'"number":"7"'))
    assert check_export(file, vault).problem == "entry 3 was changed"
    lines = content.splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], lines[3], lines[2], lines[4]]))
    assert check_export(file, vault).problem == "entry 2 is out of order: it comes later"
    file.write_bytes(b"".join(lines[:-1]))
    assert check_export(file, vault).problem == "entry 4 is missing at the end"
    foreign = Vault(make_keyring(tmp_path / "foreign.json"))
    file.write_bytes(content)
    assert check_export(file, foreign).problem == "entry 1 was changed, or is of another keyring"


async def test_an_export_of_a_trail_whose_entries_are_gone_ends_and_is_found(
    service: Service, alice: Person, owner: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with owner.transaction():
        await owner.execute(f"ALTER TABLE {_TABLE} DISABLE TRIGGER USER")
        await owner.execute(f"DELETE FROM {_TABLE} WHERE user_id = $1", alice.user_id)
        await owner.execute(f"ALTER TABLE {_TABLE} ENABLE TRIGGER USER")
    file = tmp_path / "audit.jsonl"
    assert (await exported(alice, file)).count(b"\n") == 1
    assert check_export(file, service.resources.vault).problem == "entry 1 is missing at the end"


def test_a_long_export_is_read_in_steps(
    vault: Vault, chain: list[Link], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "LINES_PER_STEP", 4)
    about = {"corral_audit_export": 1, "user_id": str(ALICE), "last_seq": 9, "last_mac": chain[-1].mac.hex()}
    lines = [f'{{"mac":"{link.mac.hex()}","entry":{link.body}}}\n'.encode() for link in chain]
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"".join([orjson.dumps(about), b"\n", *lines]))
    check = ExportCheck(file, vault, {})
    steps = list(check.read())
    assert (len(steps), sum(steps)) == (3, check.size)
    assert check.finish().problem is None


async def test_a_file_that_is_no_export_is_refused_with_its_line(
    service: Service, alice: Person, tmp_path: Path
) -> None:
    file, vault = tmp_path / "audit.jsonl", service.resources.vault
    header, entry = (await exported(alice, file)).splitlines(keepends=True)
    for first in (b"", b"[]\n", b"{}\n", b"symbol,qty\n", b"\xff\n"):
        file.write_bytes(first + entry)
        with pytest.raises(NotAnExport, match="first line"):
            check_export(file, vault)
    file.write_bytes(header.replace(b'"corral_audit_export":1', b'"corral_audit_export":2') + entry)
    with pytest.raises(NotAnExport, match="newer release"):
        check_export(file, vault)
    mac = entry[:84]
    for line in (entry[:-9], b"\n", mac + b"{}}\n", mac + b'{"seq":"x"}}\n', mac + b'{"seq":1,"\xff":1}}\n'):
        file.write_bytes(header + line)
        with pytest.raises(NotAnExport, match="line 2"):
            check_export(file, vault)
