"""A grant's key pair: its form, the keyed hash that finds it, and the seal over what it allows.

`CG` and 24 characters of base32 look like an Alpaca key ID without being one: Alpaca's begin with PK and AK. The secret
is `corral_grant_` + 37 base62 characters (220 bits) + a 6-character checksum, as for API tokens.

The key ID is a name and no secret. The secret is stored nowhere: its row has a keyed hash of it, and a second one, the
seal, over everything that the grant allows. Without the keyring, write access to the database is not enough to create,
move, widen or extend a grant.
"""

import secrets
from typing import Final

from corral.edge.field_types import GRANT_KEY_ID_PREFIX, GRANT_SECRET_PREFIX
from corral.grants.models import GrantTerms, SecretRow
from corral.identity.tokens import TokenForm, sealed_moment
from corral.logs import get_logger
from corral.vault import Vault

SECRET_FORM: Final = TokenForm(GRANT_SECRET_PREFIX, 37)
_BASE32: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_KEY_ID_LENGTH: Final = 24

_log = get_logger()


def new_key_id() -> str:
    return GRANT_KEY_ID_PREFIX + "".join(secrets.choice(_BASE32) for _ in range(_KEY_ID_LENGTH))


def secret_lookup(vault: Vault, secret: str) -> bytes:
    """Returns the hash that a new secret's row is found by."""
    return vault.access.verifier("grant", secret)


def secret_lookups(vault: Vault, secret: str) -> tuple[bytes, ...]:
    """Returns a hash by each key of the keyring, so that a key rotation ends no grant."""
    return tuple(vault.access.verifiers("grant", secret))


def seal_secret(vault: Vault, terms: GrantTerms, secret: SecretRow) -> SecretRow:
    """Returns the row with the seal of these terms."""
    return SecretRow(secret.lookup, vault.access.verifier("grant_row", *_bound(terms, secret)), secret.valid_until)


def is_sealed(vault: Vault, terms: GrantTerms, secret: SecretRow) -> bool:
    """Whether both rows are unchanged, in what they allow, since Corral wrote them."""
    if vault.access.verify(secret.seal, "grant_row", *_bound(terms, secret)):
        return True
    report_altered(terms)
    return False


def report_altered(terms: GrantTerms) -> None:
    _log.error("grant_seal_broken", grant_id=str(terms.id), user_id=str(terms.user_id))


def _bound(terms: GrantTerms, secret: SecretRow) -> tuple[str, ...]:
    """The secret is bound by its look-up hash, so that changing the terms does not need the secret itself."""
    return (
        secret.lookup.hex(),
        sealed_moment(secret.valid_until) if secret.valid_until else "always",
        str(terms.user_id),
        str(terms.id),
        str(terms.credential_id),
        terms.key_id,
        terms.access,
        "everywhere" if terms.networks is None else " ".join(map(str, terms.networks)),
        sealed_moment(terms.created_at),
        sealed_moment(terms.expires_at),
    )
