"""The plan that Corral grew out of, taken at its word: Alpaca's SDK inside `async def`, a connection held meanwhile.

Same database, same row-level security, same tokens, same vault, same server; the rest is what the plan
says. `in_thread` moves the SDK's call to a thread, which is the first obvious fix.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import asyncpg
from alpaca.trading.client import TradingClient
from alpaca.trading.models import TradeAccount
from asyncpg.pool import PoolConnectionProxy
from fastapi import Depends, FastAPI, HTTPException, Request

from corral.accounts.schemas import AccountDataResponse
from corral.alpaca.environments import Environment
from corral.alpaca.fields import written_in_utc
from corral.credentials.models import SealedCredential
from corral.credentials.reader import get_decrypted_alpaca_credential
from corral.secret import Secret
from corral.vault import Vault

# Enough that neither is what holds the variants back: with the 10 connections of asyncpg's default, or
# the 6 threads that Python takes on two cores, the one in a thread would be slower than it has to be.
CONNECTIONS = 40
THREADS = 32


def create_plan(pool: asyncpg.Pool, vault: Vault, *, sandbox_url: str, in_thread: bool) -> FastAPI:
    app = FastAPI()

    async def get_current_user(request: Request) -> UUID:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        lookup = vault.access.verifier("api_token", token)
        query = "SELECT user_id FROM corral.find_api_tokens(ARRAY[$1::bytea])"
        user_id: UUID | None = await pool.fetchval(query, lookup)
        if user_id is None:
            raise HTTPException(401)
        return user_id

    @app.get("/api/credentials/{credential_id}/account-data")
    async def read_account_data(
        credential_id: UUID, user_id: Annotated[UUID, Depends(get_current_user)]
    ) -> AccountDataResponse:
        async with _scoped_connection(pool, user_id) as connection:
            credential = await _load_credential(connection, user_id, credential_id)
            async with get_decrypted_alpaca_credential(vault, credential) as (api_key, secret_key):
                call = (api_key, secret_key, credential.credential_type, f"{sandbox_url}/paper")
                if in_thread:
                    return await asyncio.to_thread(_fetch_account_data, *call)
                return _fetch_account_data(*call)

    return app


@asynccontextmanager
async def _scoped_connection(pool: asyncpg.Pool, user_id: UUID) -> AsyncGenerator[PoolConnectionProxy]:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('app.current_user_id', $1, true)", str(user_id))
        yield connection


async def _load_credential(connection: PoolConnectionProxy, user_id: UUID, credential_id: UUID) -> SealedCredential:
    row = await connection.fetchrow(
        """
        SELECT id, user_id, credential_type, account_id, is_active, revision,
               api_key_sealed, secret_key_sealed, last_used_at
        FROM corral.credentials WHERE user_id = $1 AND id = $2
        """,
        user_id,
        credential_id,
    )
    if row is None:
        raise HTTPException(404)
    if not row["is_active"]:
        raise HTTPException(400)
    return SealedCredential(
        id=row["id"],
        user_id=row["user_id"],
        credential_type=Environment(row["credential_type"]),
        account_id=row["account_id"],
        is_active=row["is_active"],
        revision=row["revision"],
        api_key_sealed=row["api_key_sealed"],
        secret_key_sealed=row["secret_key_sealed"],
        last_used_at=row["last_used_at"],
        refused_at=None,
    )


def _fetch_account_data(api_key: Secret, secret_key: Secret, environment: Environment, url: str) -> AccountDataResponse:
    client = TradingClient(api_key.reveal(), secret_key.reveal(), paper=True, url_override=url)
    account = client.get_account()
    assert isinstance(account, TradeAccount)
    return AccountDataResponse(
        account_type=environment,
        balance=str(account.cash),
        equity=str(account.equity),
        buying_power=str(account.buying_power),
        currency=str(account.currency),
        trading_blocked=bool(account.trading_blocked),
        account_blocked=bool(account.account_blocked),
        pattern_day_trader=bool(account.pattern_day_trader),
        daytrade_count=account.daytrade_count or 0,
        last_updated=written_in_utc(datetime.now(UTC)),
    )
