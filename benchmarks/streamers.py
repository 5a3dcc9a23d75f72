"""People with one account each, who listen."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from benchmarks.accounts import SANDBOX_SEED
from corral.alpaca.environments import Environment
from corral.credentials import queries
from corral.credentials.keyring_check import open_vault
from corral.credentials.sealing import seal_keys
from corral.credentials.validation import hint_of_key
from corral.database.connection import Database, get_connection_with_rls
from corral.identity import api_tokens, sign_in
from corral.sandbox import secret_of
from corral.sandbox.opening import open_account
from corral.secret import Secret
from corral.vault import Vault


@dataclass
class Streamer:
    key_id: str
    token: str
    credential_id: str
    open_streams: list[tuple["asyncio.Future[None]", asyncio.StreamWriter]] = field(
        default_factory=list[tuple["asyncio.Future[None]", asyncio.StreamWriter]]
    )


async def opened_streamers(database_url: str, data_dir: Path, number: int) -> list[Streamer]:
    """Stored as the desk stores them, without asking Alpaca first."""
    async with Database.open(database_url) as database:
        vault = await open_vault(database, data_dir / "keyring.json")
        return [await _store(database, vault, index) for index in range(number)]


async def _store(database: Database, vault: Vault, index: int) -> Streamer:
    user_id = await sign_in.add_user(database, vault, email=f"listener-{index}@corral.example", password=None)
    _, token = await api_tokens.create_api_token(database, vault, user_id, name="load", scopes=None, expires_at=None)
    key_id, credential_id = f"PKSTREAM{index:012}", uuid4()
    account, api_key = open_account(SANDBOX_SEED, key_id), Secret(key_id)
    secret_key = Secret(secret_of(key_id))
    async with get_connection_with_rls(user_id, database) as connection:
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
            most=1,
        )
    return Streamer(key_id, token.reveal(), str(credential_id))
