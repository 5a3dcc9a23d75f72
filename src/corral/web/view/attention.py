"""The accounts that need their owner, and where each is mended. An outage is not among them: Corral keeps trying."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from corral.credentials.models import Credential
from corral.web.view.home_accounts import AccountEntry


@dataclass(frozen=True, slots=True)
class Attention:
    """An account that needs the person, and where to go. `code` is the problem's, or `blocks` for restrictions."""

    credential: Credential
    code: str
    text: str
    path: str
    label: str


def find_attention(entries: Iterable[AccountEntry]) -> list[Attention]:
    """Accounts with something that their owner has to do. An outage is not: Corral keeps trying."""
    found = [_attention(entry) for entry in entries if entry.credential.is_active]
    return [one for one in found if one]


def first_sentence(text: str) -> str:
    """`Alpaca no longer accepts this API key. Generate …` is `Alpaca no longer accepts this API key`."""
    return text.partition(". ")[0].removesuffix(".")


# What its owner has to do something about, and where: the path after the account's id.
REMEDIES: Final[Mapping[str, tuple[str, str]]] = {
    "credential_refused": ("/keys/{}/replace", "Replace API key"),
    "wrong_account": ("/keys/{}", "API key"),
    "account_not_open": ("/accounts/{}", "View account"),
    "alpaca_refused": ("/accounts/{}", "View account"),
}


def _attention(entry: AccountEntry) -> Attention | None:
    credential, problem = entry.credential, entry.problem
    if problem and problem.code in REMEDIES:
        path, label = REMEDIES[problem.code]
        return Attention(credential, problem.code, first_sentence(problem.detail), path.format(credential.id), label)
    if entry.blocks:
        text = ". ".join(map(first_sentence, entry.blocks))
        return Attention(credential, "blocks", text, f"/accounts/{credential.id}", "View account")
    return None
