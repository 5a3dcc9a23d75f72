"""One sentence for a failure of Alpaca that several accounts share. `static/scripts/outages.js` has the same rules."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from corral.credentials.problems import UpstreamFailed, UpstreamTimeout, UpstreamUnavailable
from corral.errors import Problem

# What may go wrong for all accounts at once. Corral repeats these requests by itself.
OUTAGE_CODES: Final = frozenset({UpstreamFailed.code, UpstreamTimeout.code, UpstreamUnavailable.code})
_WHAT_HAPPENS: Final = {
    UpstreamFailed.code: "Alpaca is returning errors",
    UpstreamUnavailable.code: "Alpaca can't be reached",
}
_NOT_RESPONDING: Final = "Alpaca isn't responding"  # also if accounts fail in different ways


@dataclass(frozen=True, slots=True)
class Outage:
    """Affects at least two accounts of `accounts`, so that their cards need not explain it, too."""

    codes: frozenset[str]
    affected: int
    accounts: int

    @property
    def text(self) -> str:
        """`Alpaca isn't responding for 5 of 8 accounts; Corral keeps trying.`"""
        (code, *others) = self.codes
        what = _NOT_RESPONDING if others else _WHAT_HAPPENS.get(code, _NOT_RESPONDING)
        whose = f"all {self.accounts}" if self.affected == self.accounts else f"{self.affected} of {self.accounts}"
        return f"{what} for {whose} accounts; Corral keeps trying."


def is_outage(problem: Problem | None) -> bool:
    return problem is not None and problem.code in OUTAGE_CODES


def find_outage(problems: Sequence[Problem | None]) -> Outage | None:
    """`problems` has an entry for each account, None for one that is well or still loading."""
    codes = [problem.code for problem in problems if problem is not None and problem.code in OUTAGE_CODES]
    return Outage(frozenset(codes), len(codes), len(problems)) if len(codes) > 1 else None


def shared_problem(problems: Iterable[Problem | None]) -> Problem | None:
    """The problem to show once for a page whose sections failed: the first one, if all failures are one outage."""
    found = [problem for problem in problems if problem is not None]
    if len(found) > 1 and all(map(is_outage, found)):
        return found[0]
    return None
