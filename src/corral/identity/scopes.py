"""What a token may be allowed to do. Keep the list alphabetical."""

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    ACCOUNTS_READ = "accounts:read"
    CREDENTIALS_READ = "credentials:read"
    CREDENTIALS_WRITE = "credentials:write"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"


ALL_SCOPES = frozenset(Scope)

# Stored in place of a list: all that the owner may do over the API, now and in later releases.
EVERYTHING = "*"


def scopes_from_stored(stored: Iterable[str]) -> frozenset[Scope]:
    """A name that this release does not know grants nothing."""
    names = set(stored)
    return ALL_SCOPES if EVERYTHING in names else frozenset(scope for scope in Scope if scope in names)
