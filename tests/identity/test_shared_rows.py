"""A row that reads as it did when its seal was verified is not verified again: for its token only, and only so long."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from corral.identity import queries
from corral.identity.models import IDLE
from corral.identity.problems import Unauthenticated
from corral.identity.queries import TokenRow
from corral.identity.tokens import MOST_PROVED, Authenticator, Presented, session_lookups, token_lookups
from tests.access import sign_in_by_link
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


def accept(*_: object) -> bool:
    return True


async def test_a_row_that_reads_as_before_is_verified_once(
    service: Service, authenticator: Authenticator, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = presented(service, alice)
    row = await load_row(service, shown)
    first = authenticator.verify(shown, row)
    assert first.id == alice.user_id
    monkeypatch.setattr("corral.identity.tokens.is_sealed_token", refuse)
    assert authenticator.verify(shown, row) is first
    assert authenticator.verify(shown, replace(await load_row(service, shown), rested=timedelta(days=1))) is first


async def test_a_user_is_as_the_row_says_now(service: Service, authenticator: Authenticator, alice: Person) -> None:
    """The address may change, and is not sealed."""
    shown = presented(service, alice)
    row = await load_row(service, shown)
    authenticator.verify(shown, row)
    moved = replace(row, email="alice@elsewhere.example")
    assert authenticator.verify(shown, moved).email == "alice@elsewhere.example"


async def test_the_use_of_a_row_that_was_verified_is_noted(
    service: Service, authenticator: Authenticator, alice: Person
) -> None:
    shown = presented(service, alice)
    row = await load_row(service, shown)
    for rested, is_noted in ((timedelta(0), False), (timedelta(days=1), True)):
        authenticator.verify(shown, replace(row, rested=rested))
        noted = authenticator._used._keys  # pyright: ignore[reportPrivateUsage]  # what will be written
        assert ((row.user_id, row.id) in noted) is is_noted


async def test_a_session_that_was_verified_may_become_idle(
    service: Service, authenticator: Authenticator, alice: Person
) -> None:
    cookie = (await sign_in_by_link(service, alice.user_id)).partition("=")[2]
    lookups = session_lookups(service.resources.vault, cookie)
    (row,) = (await queries.find_sessions(service.resources.database, lookups)).values()
    shown = Presented(is_session=True, value=cookie, lookups=lookups)
    assert authenticator.verify(shown, row).id == alice.user_id
    with pytest.raises(Unauthenticated):
        authenticator.verify(shown, replace(row, rested=IDLE + timedelta(seconds=1)))


async def test_few_rows_are_remembered(
    service: Service, authenticator: Authenticator, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = presented(service, alice)
    row = await load_row(service, shown)
    monkeypatch.setattr("corral.identity.tokens.is_sealed_token", accept)
    remembered = authenticator._proved  # pyright: ignore[reportPrivateUsage]  # memory is what this is about
    for number in range(MOST_PROVED + 10):
        authenticator.verify(shown, replace(row, seal=number.to_bytes(32, "big")))
        assert 0 < len(remembered) <= MOST_PROVED


async def test_a_row_that_was_verified_is_no_ones_who_shows_another_token(
    service: Service, authenticator: Authenticator, alice: Person, bob: Person
) -> None:
    hers = presented(service, alice)
    row = await load_row(service, hers)
    authenticator.verify(hers, row)
    with pytest.raises(Unauthenticated):
        authenticator.verify(presented(service, bob), row)


@pytest.mark.parametrize("altered", ["user_id", "id", "scopes", "expires_at", "seal"])
async def test_a_copy_of_the_row_that_grants_something_else_is_verified(
    service: Service, authenticator: Authenticator, alice: Person, bob: Person, altered: str
) -> None:
    shown = presented(service, alice)
    row = await load_row(service, shown)
    authenticator.verify(shown, row)
    values = {
        "user_id": bob.user_id,
        "id": bob.user_id,
        "scopes": [*row.scopes, "tokens:write"],
        "expires_at": datetime(2100, 1, 1, tzinfo=UTC),
        "seal": bytes(32),
    }
    with pytest.raises(Unauthenticated):
        authenticator.verify(shown, replace(row, **{altered: values[altered]}))
    assert authenticator.verify(shown, row).id == alice.user_id


async def test_a_row_that_was_refused_stays_refused(
    service: Service, authenticator: Authenticator, alice: Person
) -> None:
    shown = presented(service, alice)
    forged = replace(await load_row(service, shown), expires_at=None, seal=bytes(32))
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            authenticator.verify(shown, forged)
