"""Alpaca keys as they are stored: each sealed in the context of its row."""

from uuid import UUID

from corral.alpaca.environments import Environment
from corral.credentials.models import SealedCredential
from corral.secret import Secret
from corral.vault import Context, Vault


def seal_keys(
    vault: Vault, user_id: UUID, credential_id: UUID, environment: Environment, *, api_key: Secret, secret_key: Secret
) -> tuple[bytes, bytes]:
    """Returns key ID and secret, sealed in the only context in which they open."""
    return (
        vault.seal(_context(user_id, credential_id, environment, "api_key"), api_key),
        vault.seal(_context(user_id, credential_id, environment, "secret_key"), secret_key),
    )


def open_keys(vault: Vault, credential: SealedCredential) -> tuple[Secret, Secret]:
    """Returns key ID and secret. Raises SealBroken."""
    owner, environment = credential.user_id, credential.credential_type
    return (
        vault.open(_context(owner, credential.id, environment, "api_key"), credential.api_key_sealed),
        vault.open(_context(owner, credential.id, environment, "secret_key"), credential.secret_key_sealed),
    )


def _context(user_id: UUID, credential_id: UUID, environment: Environment, field: str) -> Context:
    return Context("credential", (str(user_id), str(credential_id), environment.value, field))
