"""A thousand sandbox accounts of ten people, stored as the desk stores them, without asking Alpaca first."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from benchmarks.load import Question
from corral.alpaca.environments import Environment
from corral.credentials import queries
from corral.credentials.sealing import seal_keys
from corral.credentials.validation import hint_of_key
from corral.database.connection import Connection, Database, get_connection_with_rls
from corral.identity import api_tokens, sign_in
from corral.sandbox import secret_of
from corral.sandbox.money import in_writing
from corral.sandbox.opening import Account, open_account
from corral.secret import Secret
from corral.vault import Vault

SANDBOX_SEED = 0
PEOPLE = 10
ACCOUNTS_OF_EACH = 100


@dataclass(frozen=True, slots=True)
class Ranch:
    """What can be asked. The second list is one more person's accounts, for warming up and nothing else."""

    accounts: list[Question]
    warm_up: list[Question]


async def store_accounts(database: Database, vault: Vault) -> Ranch:
    """One API token for each person. Neighbours in the list are accounts of different people."""
    people = [await _store_person(database, vault, number) for number in range(PEOPLE + 1)]
    return Ranch(
        accounts=[question for turn in zip(*people[:PEOPLE], strict=True) for question in turn],
        warm_up=people[PEOPLE],
    )


async def _store_person(database: Database, vault: Vault, number: int) -> list[Question]:
    user_id = await sign_in.add_user(database, vault, email=f"rancher-{number}@corral.example", password=None)
    _, token = await api_tokens.create_api_token(database, vault, user_id, name="load", scopes=None, expires_at=None)
    first = number * ACCOUNTS_OF_EACH
    key_ids = [f"PKBENCH{index:013}" for index in range(first, first + ACCOUNTS_OF_EACH)]
    async with get_connection_with_rls(user_id, database) as connection:
        return [await _store_account(connection, vault, user_id, token, key_id) for key_id in key_ids]


async def _store_account(connection: Connection, vault: Vault, user_id: UUID, token: Secret, key_id: str) -> Question:
    account, credential_id = open_account(SANDBOX_SEED, key_id), uuid4()
    api_key, secret_key = Secret(key_id), Secret(secret_of(key_id))
    await queries.insert_credential(
        connection,
        user_id=user_id,
        credential_id=credential_id,
        nickname=key_id,
        environment=Environment.PAPER,
        account_id=str(account.profile["id"]),
        account_number=str(account.profile["account_number"]),
        key_hint=hint_of_key(api_key),
        sealed=seal_keys(vault, user_id, credential_id, Environment.PAPER, api_key=api_key, secret_key=secret_key),
        most=ACCOUNTS_OF_EACH,
    )
    return _question(credential_id, token, account)


def _question(credential_id: UUID, token: Secret, account: Account) -> Question:
    """A sandbox account's cash never changes, so an answer shows whose it is."""
    return Question(
        path=f"/api/credentials/{credential_id}/account-data",
        token=token.reveal(),
        expected=f'"balance":"{in_writing(account.cash)}"',
    )
