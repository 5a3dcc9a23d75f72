"""Whether the account that answered is the one that was stored, and whether it is open."""

from corral.alpaca.models import Account, AccountFacts
from corral.credentials.models import SealedCredential
from corral.credentials.problems import AccountNotOpen, AnotherAccount
from corral.logs import get_logger

_log = get_logger()


def refuse_another_account(credential: SealedCredential, account: AccountFacts) -> None:
    """Raises AnotherAccount: nothing of an account that was not stored is shown, whatever these keys open now."""
    if account.id != credential.account_id:
        _log.error("account_changed", credential_id=str(credential.id), user_id=str(credential.user_id))
        raise AnotherAccount


def with_balance(account: AccountFacts) -> Account:
    """The same account. Raises AccountNotOpen for one that has no balance."""
    if not isinstance(account, Account):
        raise AccountNotOpen.with_status(account.status or "status unknown")
    return account
