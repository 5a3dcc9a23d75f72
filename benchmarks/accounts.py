"""Sandbox accounts of many users, stored as in production, but without a check by Alpaca."""

from dataclasses import dataclass
from itertools import count
from uuid import UUID, uuid4

from benchmarks.load import Question
from corral.alpaca.environments import Environment
from corral.credentials import queries
from corral.credentials.management import MOST_CREDENTIALS
from corral.credentials.reader import seal_keys
from corral.credentials.validation import hint_of_key
from corral.database.connection import Connection, Database, get_connection_with_rls
from corral.identity import api_tokens, sign_in
from corral.identity.models import VerifiedUser
from corral.identity.queries import FIRST_EPOCH
from corral.identity.session_cookie import session_cookie_name
from corral.identity.sessions import start_session
from corral.secret import Secret
from corral.vault import Vault
from corral_sandbox import secret_of
from corral_sandbox.broker.characters import open_account_with_character
from corral_sandbox.broker.initial_state import AccountTerms
from corral_sandbox.market.money import format_amount
from corral_sandbox.market.prices import Market

SANDBOX_SEED = 0
PEOPLE = 10
ACCOUNTS_OF_EACH = 100
ACCOUNTS_ON_A_PAGE = 50
CARDS = 30
HOLDERS_ACCOUNTS = 30
LISTENERS = 200


@dataclass(frozen=True, slots=True)
class Owner:
    """One person with an API token that may do everything, and their accounts."""

    user_id: UUID
    token: str
    key_ids: list[str]
    accounts: list[Question]


@dataclass(frozen=True, slots=True)
class Viewer:
    """A person in front of a browser: `cookie` is their session's, as `name=value`."""

    owner: Owner
    cookie: str


@dataclass(frozen=True, slots=True)
class Fixture:
    """`people` have a hundred accounts each, and so has the one for warming up and nothing else.

    `reader` looks at fifty accounts on one page, and each of the `listeners` listens to one. The viewers see
    thirty accounts each; for one of those of `patient` Alpaca does not answer. `holder` looks
    at the holdings of thirty accounts. `lender` has one account, and a token that may make grants.
    """

    people: list[Owner]
    warm_up: Owner
    reader: Owner
    listeners: list[Owner]
    viewer: Viewer
    patient: Viewer
    holder: Viewer
    lender: Owner

    @property
    def accounts(self) -> list[Question]:
        """A thousand. Neighbours are accounts of different people."""
        return [question for turn in zip(*(owner.accounts for owner in self.people), strict=True) for question in turn]


async def store_accounts(database: Database, vault: Vault) -> Fixture:
    desk = AccountStore(database, vault)
    return Fixture(
        people=[await desk.store_person(ACCOUNTS_OF_EACH) for _ in range(PEOPLE)],
        warm_up=await desk.store_person(ACCOUNTS_OF_EACH),
        reader=await desk.store_person(ACCOUNTS_ON_A_PAGE),
        listeners=[await desk.store_person(1) for _ in range(LISTENERS)],
        viewer=await desk.store_viewer(CARDS),
        patient=await desk.store_viewer(CARDS),
        holder=await desk.store_viewer(HOLDERS_ACCOUNTS),
        lender=await desk.store_person(1, scopes=["accounts:read", "grants:write"]),
    )


class AccountStore:
    """Stores new users and accounts."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._numbers = count()

    async def store_person(self, accounts: int, *, scopes: list[str] | None = None) -> Owner:
        key_ids = [f"PKBENCH{next(self._numbers):013}" for _ in range(accounts)]
        database, vault = self._database, self._vault
        user_id = await sign_in.add_user(database, vault, email=f"{key_ids[0]}@corral.example", password=None)
        _, token = await api_tokens.create_api_token(
            user_id, database, vault, name="load", scopes=scopes, expires_at=None
        )
        async with get_connection_with_rls(user_id, database) as connection:
            questions = [await _store_account(connection, vault, user_id, token, key_id) for key_id in key_ids]
        return Owner(user_id, token.reveal(), key_ids, questions)

    async def store_viewer(self, accounts: int) -> Viewer:
        owner = await self.store_person(accounts)
        session = await start_session(
            self._database, self._vault, VerifiedUser(owner.user_id, FIRST_EPOCH), "benchmark"
        )
        return Viewer(owner, f"{session_cookie_name('http://')}={session.cookie_value.reveal()}")


async def _store_account(connection: Connection, vault: Vault, user_id: UUID, token: Secret, key_id: str) -> Question:
    account, credential_id = open_account_with_character(Market(SANDBOX_SEED), key_id), uuid4()
    api_key, secret_key = Secret(key_id), Secret(secret_of(key_id))
    await queries.insert_credential(
        connection,
        user_id=user_id,
        credential_id=credential_id,
        nickname=key_id,
        environment=Environment.PAPER,
        account_id=str(account.profile["id"]),
        account_number=str(account.profile["account_number"]),
        account_status=str(account.profile["status"]),
        key_hint=hint_of_key(api_key),
        sealed=seal_keys(vault, user_id, credential_id, Environment.PAPER, api_key=api_key, secret_key=secret_key),
        most=MOST_CREDENTIALS,
    )
    return _question(credential_id, token, account)


def _question(credential_id: UUID, token: Secret, account: AccountTerms) -> Question:
    """A sandbox account's cash never changes, so an answer shows whose it is."""
    return Question(
        path=f"/api/credentials/{credential_id}/account-data",
        token=token.reveal(),
        expected=f'"balance":"{format_amount(account.cash)}"',
    )
