"""Finds the grant that a program presents."""

from asyncio import Future, get_running_loop
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from hmac import compare_digest
from typing import Final, final

from corral.database.batching import BatchedLookup, WriteBehindBuffer
from corral.database.connection import Database
from corral.edge.request_state import StateKey
from corral.grants import queries
from corral.grants.access import Access
from corral.grants.key_pairs import SECRET_FORM, is_sealed, secret_lookups
from corral.grants.models import Grant
from corral.grants.networks import Address
from corral.grants.queries import GrantRow
from corral.identity.revalidation import trips
from corral.identity.tokens import TOUCH_AFTER
from corral.vault import Vault

MOST_EXPECTED: Final = 4_000
"""Grants of which a process remembers how they were when they last changed something."""

Lookups = tuple[bytes, ...]


@final
class GrantReader:
    """Lives as long as the process. Nothing is granted by what it remembers.

    A look-up is never answered from before it was asked, so a grant that was revoked, narrowed or has expired is that
    at the next request, in every process.
    """

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._find = BatchedLookup(database, queries.find_grants)
        self._used = WriteBehindBuffer(partial(queries.note_grants_used, database))
        self._expected: OrderedDict[Lookups, Grant] = OrderedDict()

    async def find(self, key_id: str | None, secret: str, *, address: Address | None) -> Grant | None:
        """Returns the grant of this key pair, or of the secret alone (`key_id` None), and notes that it is used.

        Returns None, for one and the same answer to all of them, for one that is malformed, unknown, expired or
        revoked, that belongs to another key ID, that was changed by hand (which is logged as an error), or that may
        not be used from `address` (None: unknown). A paused or refused account is told by the grant.

        One round trip to the database, shared with other callers. Raises DatabaseUnavailable and Overloaded.
        """
        return await self.search(key_id, secret, address=address).found()

    def search(self, key_id: str | None, secret: str, *, address: Address | None) -> "GrantSearch":
        """For a caller that prepares a change meanwhile; see `find` for the rest."""
        if not SECRET_FORM.is_well_formed(secret):
            return GrantSearch(None, _nothing, lambda _: None)
        lookups = secret_lookups(self._vault, secret)
        expected = self._expected.get(lookups)
        if expected is not None and not (_is_of(expected, key_id) and expected.admits(address)):
            expected = None
        usable = partial(self._usable, key_id=key_id, address=address, lookups=lookups)
        return GrantSearch(expected, partial(self._find.start, lookups), usable)

    def _usable(
        self, row: GrantRow | None, *, key_id: str | None, address: Address | None, lookups: Lookups
    ) -> Grant | None:
        grant = self._believed(row)
        if row is None or grant is None or not _is_of(grant, key_id) or not grant.admits(address):
            self._expected.pop(lookups, None)
            return None
        if row.rested is None or row.rested > TOUCH_AFTER:
            self._used.add((grant.user_id, grant.id))
        if grant.access is not Access.READ:
            self._expect(lookups, grant)
        return grant

    def _expect(self, lookups: Lookups, grant: Grant) -> None:
        self._expected[lookups] = grant
        self._expected.move_to_end(lookups)
        if len(self._expected) > MOST_EXPECTED:
            self._expected.popitem(last=False)

    async def reload(self, grants: Sequence[Grant]) -> list[Grant | None]:
        """Returns each as it is stored now, in the same order; None for one that `find` would no longer return.

        For what outlives a request, such as a socket: whoever holds it asks again whether the grant still `admits` its
        address. It is no use of the grant.
        """
        found: list[Grant | None] = []
        for trip in trips(grants):
            rows = await queries.find_grants(self._database, [(grant.lookup,) for grant in trip])
            found += [self._believed(rows.get((grant.lookup,))) for grant in trip]
        return found

    async def close(self) -> None:
        """Writes what is still buffered."""
        await self._used.close()

    def _believed(self, row: GrantRow | None) -> Grant | None:
        if row is None or not is_sealed(self._vault, row.terms, row.secret):
            return None
        return Grant(row.terms, row.stored, row.secret.lookup, row.secret.valid_until)


@final
class GrantSearch:
    """A look-up of a grant.

    `expected` is the grant as an earlier request with the same key pair found it, if there was one that may be used
    from this address. What is prepared by it may leave Corral only after `confirms`.
    """

    __slots__ = ("_ask", "_grant", "_row", "_usable", "expected")

    def __init__(
        self,
        expected: Grant | None,
        ask: "Callable[[], Future[GrantRow | None]]",
        usable: Callable[[GrantRow | None], Grant | None],
    ) -> None:
        self.expected: Final = expected
        self._ask = ask
        self._usable: Callable[[GrantRow | None], Grant | None] | None = usable
        self._row: Future[GrantRow | None] | None = None
        self._grant: Grant | None = None

    def start(self) -> "Future[GrantRow | None]":
        """Asks the database from now on, once."""
        if self._row is None:
            self._row = self._ask()
            self._row.add_done_callback(self._settle)
        return self._row

    def _settle(self, row: "Future[GrantRow | None]") -> None:
        """When the database answers: a caller that waits for something else meanwhile finds this work done."""
        if self._usable is not None and not row.cancelled() and row.exception() is None:
            self._grant = self._usable(row.result())
            self._usable = None

    async def found(self) -> Grant | None:
        """Returns what `GrantReader.find` does."""
        row = self.start()
        await row
        self._settle(row)
        return self._grant

    async def confirms(self) -> bool:
        """Whether the grant is stored now as it was expected."""
        found = await self.found()
        return found is not None and found == self.expected


GRANTS: Final = StateKey[GrantReader]("grants")


def _nothing() -> "Future[GrantRow | None]":
    nothing: Future[GrantRow | None] = get_running_loop().create_future()
    nothing.set_result(None)
    return nothing


def _is_of(grant: Grant, key_id: str | None) -> bool:
    return key_id is None or compare_digest(grant.key_id.encode(), key_id.encode(errors="surrogatepass"))
