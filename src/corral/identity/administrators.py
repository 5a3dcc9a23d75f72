"""Who may invite and disable people: whose row bears a seal that only the keyring makes."""

import hmac
from uuid import UUID

from corral.logs import get_logger
from corral.vault import Vault

_PURPOSE = "administrator"

_log = get_logger()


def admin_seal(vault: Vault, user_id: UUID) -> bytes:
    return vault.verifier(_PURPOSE, str(user_id))


def is_administrator(vault: Vault, user_id: UUID, seal: bytes | None) -> bool:
    """Not by a seal that was written by hand, or is another person's."""
    if seal is None:
        return False
    if any(hmac.compare_digest(seal, one) for one in vault.verifiers(_PURPOSE, str(user_id))):
        return True
    _log.error("admin_seal_broken", user_id=str(user_id))
    return False
