"""The accounts that a page over all accounts leaves out: one line, and behind it the reasons and their remedies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from corral.accounts.combined.problems import ItemsSkipped
from corral.accounts.combined.reading import AccountProblem
from corral.web.view.attention import REMEDIES

_MOST_NAMES: Final = 4  # in the line


@dataclass(frozen=True, slots=True)
class Remedy:
    """A link to where the owner of the account mends what is wrong."""

    path: str
    label: str
    nickname: str


@dataclass(frozen=True, slots=True)
class MissingReason:
    """One outage is one reason for all its accounts."""

    detail: str
    nicknames: tuple[str, ...]
    remedies: tuple[Remedy, ...]


@dataclass(frozen=True, slots=True)
class MissingAccounts:
    """`leaves_out` is false if all accounts are in the page, some of them in part."""

    text: str
    leaves_out: bool
    reasons: tuple[MissingReason, ...]


def describe_missing(problems: Iterable[AccountProblem], accounts: int) -> MissingAccounts | None:
    """`accounts` is how many there are. Returns None if all of them are in the page."""
    found = list(problems)
    if not found:
        return None
    left_out = [one.credential.nickname for one in found if one.problem.code != ItemsSkipped.code]
    partly = [one.credential.nickname for one in found if one.problem.code == ItemsSkipped.code]
    sentences = (_sentence(left_out, accounts, "not included"), _sentence(partly, accounts, "incomplete"))
    details = dict.fromkeys(one.problem.detail for one in found)
    reasons = (_reason(detail, [one for one in found if one.problem.detail == detail]) for detail in details)
    return MissingAccounts(" ".join(filter(None, sentences)), bool(left_out), tuple(reasons))


def _sentence(nicknames: Sequence[str], accounts: int, state: str) -> str:
    """`2 of 7 accounts are not included: Old keys, Wheel.` Nothing for no accounts."""
    if not nicknames:
        return ""
    whose = f"{len(nicknames)} of {accounts} accounts" if accounts > 1 else "Your account"
    names = f": {', '.join(nicknames)}" if len(nicknames) <= _MOST_NAMES and accounts > 1 else ""
    return f"{whose} {'are' if len(nicknames) > 1 else 'is'} {state}{names}."


def _reason(detail: str, problems: Sequence[AccountProblem]) -> MissingReason:
    return MissingReason(
        detail,
        tuple(one.credential.nickname for one in problems),
        tuple(_remedy(one) for one in problems if one.problem.code in REMEDIES),
    )


def _remedy(problem: AccountProblem) -> Remedy:
    path, label = REMEDIES[problem.problem.code]
    return Remedy(path.format(problem.credential_id), label, problem.credential.nickname)
