"""`corral audit verify`: the chains of the database, or an exported one, with the keyring; and `doctor`'s check."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from rich.markup import escape

from corral.audit import queries
from corral.audit.heads import HEADS_FILE, PublishedHeads, load_heads
from corral.audit.verification import ChainReport, ExportCheck, verify_chains
from corral.commands.console import counted, out, progress
from corral.commands.operator import open_for_operator
from corral.database.connection import open_owner_connection
from corral.errors import OperatorError
from corral.people.operators import owner_connection
from corral.settings import Settings
from corral.vault import Vault, load_keyring

_MOST_NAMED: Final = 20


class TrailBroken(OperatorError):  # noqa: N818 - a condition
    """An audit trail was changed, or a part of it is missing. One line."""


class FileUnreadable(OperatorError):  # noqa: N818 - a condition
    """A file cannot be read. One line."""


async def verify_database(settings: Settings, heads: Path | None) -> None:
    """Verifies all chains, as the database's owner."""
    published = _published(settings, heads)
    async with (
        open_for_operator(settings) as operator,
        owner_connection(operator.owner_dsn) as connection,
        queries.open_snapshot(connection),
    ):
        emails = await queries.load_emails(connection)
        with progress() as shown:
            task = shown.add_task("Verifying", total=await queries.count_entries(connection))
            reports = await verify_chains(
                connection, operator.vault, published, lambda entries: shown.advance(task, entries)
            )
    _print_reports(reports, emails)


async def verify_file(settings: Settings, file: Path, heads: Path | None) -> None:
    """Verifies an export without the database."""
    vault, published = Vault(load_keyring(settings.keyring_path)), _published(settings, heads)
    try:
        check = ExportCheck(file, vault, published)
        with progress() as shown:
            task = shown.add_task("Verifying", total=check.size)
            for read in check.read():
                shown.advance(task, read)
                await asyncio.sleep(0)  # for Ctrl-C
    except OSError as error:
        raise FileUnreadable(f"{file} cannot be read: {error.strerror}") from None
    _print_reports([check.finish()], {})


async def find_stuck(settings: Settings, owner_dsn: str | None) -> str | None:
    """Returns what keeps entries from being written, or heads from being published; None for nothing."""
    heads_file = settings.data_dir / HEADS_FILE
    if heads_file.exists() and not os.access(heads_file, os.W_OK):
        return f"heads cannot be published: {heads_file} is not writable; correct its owner"
    if owner_dsn is None:
        return "set CORRAL_DATABASE_OWNER_URL for this check: only the owner sees every trail"
    async with open_owner_connection(owner_dsn) as connection:
        busy = await queries.find_locked(connection)
        locked = [user_id for user_id in busy if not await queries.is_soon_free(connection, user_id)]
        stale = await queries.count_stale_intents(connection)
    if locked:
        named = ", ".join(map(str, locked))
        return f"a transaction has locked the trail of {named} for seconds: end it, see pg_stat_activity"
    if stale:
        them = "it" if stale == 1 else "them"
        have = "has" if stale == 1 else "have"
        orders = counted(stale, "order")
        return f"{orders} {have} no outcome after five minutes: start Corral, which concludes {them} as unknown"
    return None


def _published(settings: Settings, heads: Path | None) -> PublishedHeads:
    path = heads or settings.data_dir / HEADS_FILE
    try:
        return load_heads(path)
    except FileNotFoundError:
        if heads is None:
            return {}
        raise FileUnreadable(f"there is no file {heads}") from None
    except OSError as error:
        raise FileUnreadable(f"{path} cannot be read: {error.strerror}") from None


def _print_reports(reports: Sequence[ChainReport], emails: Mapping[UUID, str]) -> None:
    broken = [report for report in reports if report.problem is not None]
    loose = [report for report in reports if report.problem is None and not report.is_anchored]
    for report in broken:
        out.print("[red]✗[/]", escape(f"{_name(report, emails)}: {report.problem}"))
    for report in reports:
        if report.restored is not None:
            out.print("[yellow]![/]", escape(f"{_name(report, emails)}: {report.restored}"))
    for report in loose[:_MOST_NAMED]:
        out.print("[yellow]![/]", escape(f"{_name(report, emails)}: {_looseness(report)}"))
    if len(loose) > _MOST_NAMED:
        out.print(f"  and {len(loose) - _MOST_NAMED} more that are not anchored")
    if broken:
        are = "is" if len(broken) == 1 else "are"
        trails = counted(len(reports), "audit trail")
        raise TrailBroken(f"{len(broken)} of {trails} {are} broken: see the lines marked ✗")
    entries = counted(sum(report.entries for report in reports), "entry", "entries")
    anchored = "" if loose else ", all of them anchored by published heads"
    out.print("[green]✓[/]", f"{counted(len(reports), 'audit trail')} with {entries}: whole{anchored}")


def _looseness(report: ChainReport) -> str:
    last = f"up to entry {report.anchored_to} of {report.entries}" if report.anchored_to else "at all"
    return f"not anchored {last}"


def _name(report: ChainReport, emails: Mapping[UUID, str]) -> str:
    return emails.get(report.user_id, str(report.user_id))
