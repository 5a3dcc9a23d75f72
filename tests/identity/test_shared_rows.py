"""A row that requests share, because they asked for it in one query, is verified once, and for its token only."""

from dataclasses import replace

import pytest

from corral.identity import queries
from corral.identity.problems import Unauthenticated
from corral.identity.queries import TokenRow
from corral.identity.tokens import Authenticator, Presented, token_lookups
from tests.conftest import Service
from tests.people import Person


@pytest.fixture
def authenticator(service: Service) -> Authenticator:
    return service.services.state["authenticator"]


def presented(service: Service, person: Person) -> Presented:
    lookups = token_lookups(service.resources.vault, person.token)
    return Presented(is_session=False, value=person.token, lookups=lookups)


async def load_row(service: Service, shown: Presented) -> TokenRow:
    (row,) = (await queries.find_api_tokens(service.resources.database, shown.lookups)).values()
    return row


def refuse(*_: object) -> bool:
    return False


async def test_the_same_row_gives_the_same_user_and_is_verified_once(
    service: Service, authenticator: Authenticator, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = presented(service, alice)
    row = await load_row(service, shown)
    first = authenticator.verify(shown, row)
    monkeypatch.setattr("corral.identity.tokens.is_sealed_token", refuse)
    assert authenticator.verify(shown, row) is first
    assert first.id == alice.user_id
    with pytest.raises(Unauthenticated):
        authenticator.verify(shown, await load_row(service, shown))  # of another query


async def test_a_row_that_was_verified_is_no_ones_who_shows_another_token(
    service: Service, authenticator: Authenticator, alice: Person, bob: Person
) -> None:
    hers = presented(service, alice)
    row = await load_row(service, hers)
    authenticator.verify(hers, row)
    with pytest.raises(Unauthenticated):
        authenticator.verify(presented(service, bob), row)


async def test_a_copy_of_the_row_with_more_scopes_is_verified(
    service: Service, authenticator: Authenticator, alice: Person
) -> None:
    shown = presented(service, alice)
    row = await load_row(service, shown)
    authenticator.verify(shown, row)
    with pytest.raises(Unauthenticated):
        authenticator.verify(shown, replace(row, scopes=[*row.scopes, "tokens:write"]))
    assert authenticator.verify(shown, row).id == alice.user_id


async def test_a_row_that_was_refused_stays_refused(
    service: Service, authenticator: Authenticator, alice: Person
) -> None:
    shown = presented(service, alice)
    forged = replace(await load_row(service, shown), expires_at=None, seal=bytes(32))
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            authenticator.verify(shown, forged)
