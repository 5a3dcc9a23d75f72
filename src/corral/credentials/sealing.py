"""The two keys of a credential, sealed and opened in the one context in which they belong together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

from corral.alpaca.environments import Environment
from corral.credentials.models import SealedCredential
from corral.errors import InternalError
from corral.logs import get_logger
from corral.secret import Secret
from corral.vault import Context, SealBroken, Vault

_log = get_logger()


def seal_keys(
    vault: Vault, user_id: UUID, credential_id: UUID, environment: Environment, *, api_key: Secret, secret_key: Secret
) -> tuple[bytes, bytes]:
    return (
        vault.seal(_context(user_id, credential_id, environment, "api_key"), api_key),
        vault.seal(_context(user_id, credential_id, environment, "secret_key"), secret_key),
    )


@asynccontextmanager
async def get_decrypted_alpaca_credential(
    vault: Vault, credential: SealedCredential
) -> AsyncGenerator[tuple[Secret, Secret]]:
    """`async with … as (api_key, secret_key)`: two Secrets for just one call, forgotten at the end of the block.

    A row that was moved to another user, another id or the other environment does not open: that is
    an alarm in the log and an InternalError, and Alpaca is not asked.
    """
    try:
        api_key, secret_key = open_keys(vault, credential)
    except SealBroken:
        _log.error("credential_seal_broken", credential_id=str(credential.id), user_id=str(credential.user_id))
        raise InternalError from None
    try:
        yield api_key, secret_key
    finally:
        del api_key, secret_key


def open_keys(vault: Vault, credential: SealedCredential) -> tuple[Secret, Secret]:
    """Key id and secret. Raises SealBroken."""
    owner, environment = credential.user_id, credential.credential_type
    return (
        vault.open(_context(owner, credential.id, environment, "api_key"), credential.api_key_sealed),
        vault.open(_context(owner, credential.id, environment, "secret_key"), credential.secret_key_sealed),
    )


def _context(user_id: UUID, credential_id: UUID, environment: Environment, field: str) -> Context:
    return Context("credential", (str(user_id), str(credential_id), environment.value, field))
