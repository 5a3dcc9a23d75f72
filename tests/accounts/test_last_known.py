from dataclasses import replace
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from corral.accounts.cache import LastKnownAccounts
from corral.alpaca.environments import Environment
from corral.alpaca.models import Account
from corral.credentials.models import SealedCredential

ACCOUNT = Account(
    id="1",
    account_number=None,
    status=None,
    currency="USD",
    cash="1",
    equity="1",
    buying_power="1",
    last_equity="48151.62342",
    multiplier=None,
    trading_blocked=False,
    account_blocked=False,
    pattern_day_trader=False,
    daytrade_count=0,
)
COUNTS = st.integers(0, 999_999)
CREDENTIAL = SealedCredential(
    id=uuid4(),
    user_id=uuid4(),
    credential_type=Environment.PAPER,
    account_id="1",
    is_active=True,
    revision=3,
    api_key_sealed=b"",
    secret_key_sealed=b"",
    last_used_at=None,
    refused_at=None,
)


@given(st.builds(Account, daytrade_count=COUNTS, options_approved_level=COUNTS, options_trading_level=COUNTS))
def test_an_account_is_returned_as_it_was_put(account: Account) -> None:
    known = LastKnownAccounts()
    known.put(CREDENTIAL, account)
    assert known.get(CREDENTIAL) == account


def test_the_last_answer_counts() -> None:
    known = LastKnownAccounts()
    known.put(CREDENTIAL, ACCOUNT)
    known.put(CREDENTIAL, replace(ACCOUNT, last_equity=None))
    assert known.get(CREDENTIAL) == replace(ACCOUNT, last_equity=None)


def test_other_keys_owners_and_accounts_have_no_last_response() -> None:
    known = LastKnownAccounts()
    known.put(CREDENTIAL, ACCOUNT)
    assert known.get(replace(CREDENTIAL, revision=4)) is None
    assert known.get(replace(CREDENTIAL, user_id=uuid4())) is None
    assert known.get(replace(CREDENTIAL, id=uuid4())) is None


def test_the_least_recently_requested_accounts_are_dropped_first() -> None:
    known = LastKnownAccounts(most=2)
    first, second, third = (replace(CREDENTIAL, id=uuid4()) for _ in range(3))
    for credential in (first, second, first, third):
        known.put(credential, ACCOUNT)
    assert [known.get(credential) is not None for credential in (first, second, third)] == [True, False, True]
