"""`make breakages`: breaks Corral in each of the listed ways, and looks whether the tests notice."""

import argparse
import queue
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.breakages.catalogue import Breakage, load_breakages
from tests.breakages.trial import Outcome, Verdict, copied_tree, try_breakage

if TYPE_CHECKING:
    from pathlib import Path

_console = Console()


def main() -> int:
    asked = _parser().parse_args()
    chosen = [one for one in load_breakages() if not asked.only or any(part in one.name for part in asked.only)]
    if not chosen:
        _console.print("There is no breakage of this name.")
        return 1
    if asked.list:
        _console.print(*map(str, chosen), sep="\n", highlight=False)
        return 0
    verdicts = list(_with_progress(chosen, jobs=asked.jobs))
    _console.print(_table(sorted(verdicts, key=lambda verdict: chosen.index(verdict.breakage))))
    unnoticed = sum(verdict.outcome is not Outcome.NOTICED for verdict in verdicts)
    _console.print(f"{len(verdicts) - unnoticed} of {len(verdicts)} breakages are noticed.")
    return 1 if unnoticed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.breakages", description=__doc__)
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="those with this in their name; may be repeated"
    )
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="so many at once (default: 2)")
    parser.add_argument("--list", action="store_true", help="print the names and try nothing")
    return parser


def _with_progress(breakages: Sequence[Breakage], *, jobs: int) -> Iterator[Verdict]:
    columns = (
        TextColumn("Breaking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[last]}"),
    )
    with Progress(*columns, console=_console) as progress:
        task = progress.add_task("", total=len(breakages), last="")
        for verdict in _verdicts(breakages, jobs=jobs):
            progress.update(task, advance=1, last=verdict.breakage.name)
            if verdict.outcome is not Outcome.NOTICED or not _console.is_terminal:
                progress.print(verdict.in_one_line, highlight=False, soft_wrap=True)
            yield verdict


def _verdicts(breakages: Sequence[Breakage], *, jobs: int) -> Iterator[Verdict]:
    """As they come; each job has a copy of the tree to itself."""
    with ExitStack() as stack:
        trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for _ in range(jobs):
            trees.put(stack.enter_context(copied_tree()))

        def try_in_a_tree(breakage: Breakage) -> Verdict:
            tree = trees.get()
            try:
                return try_breakage(breakage, tree)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(jobs) as pool:
            for done in as_completed([pool.submit(try_in_a_tree, one) for one in breakages]):
                yield done.result()


def _table(verdicts: Sequence[Verdict]) -> Table:
    table = Table("Breakage", "File", "Outcome", "Seconds")
    for verdict in verdicts:
        style = None if verdict.outcome is Outcome.NOTICED else "bold red"
        change = verdict.breakage.changes[0]
        table.add_row(verdict.breakage.name, change.file, verdict.outcome.value, f"{verdict.seconds:.1f}", style=style)
    return table


if __name__ == "__main__":
    sys.exit(main())
