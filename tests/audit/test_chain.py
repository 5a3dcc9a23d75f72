"""The canonical text of an entry, and the keyed hash that binds it to the one before."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from corral.audit.chain import EMPTY, canonical_text, extend_chain, follows, read_text
from corral.audit.models import Action, Actor, ActorKind, Link, NewEntry, Result
from corral.vault import Vault
from tests.audit.trails import paused

ALICE, BOB = UUID(int=1), UUID(int=2)
MOMENT = datetime(2026, 11, 24, 9, 30, tzinfo=timezone(timedelta(hours=-5)))


def test_the_canonical_text_has_one_form() -> None:
    entry = NewEntry(
        Actor(ActorKind.GRANT, UUID(int=3)), Action.ORDER_SUBMIT, Result.BEGUN, credential_id=UUID(int=4),
        grant_id=UUID(int=3), object_id="corral-1", details={"symbol": "AAPL", "qty": "1"}, address="192.0.2.1",
    )  # fmt: skip
    assert canonical_text(ALICE, 7, MOMENT, entry) == (
        '{"action":"order.submit","actor":"grant:00000000-0000-0000-0000-000000000003","address":"192.0.2.1",'
        '"at":"2026-11-24T14:30:00.000000Z","credential_id":"00000000-0000-0000-0000-000000000004",'
        '"details":{"qty":"1","symbol":"AAPL"},"grant_id":"00000000-0000-0000-0000-000000000003",'
        '"object_id":"corral-1","result":"begun","seq":7,"user_id":"00000000-0000-0000-0000-000000000001","v":1}'
    )


def test_a_text_says_what_was_written() -> None:
    entry = NewEntry("operator", "tomorrow.invented", Result.UNKNOWN, concludes=3)
    read = read_text(canonical_text(ALICE, 7, MOMENT, entry))
    assert (read.actor, read.action, read.result, read.concludes) == ("operator", "tomorrow.invented", "unknown", 3)
    assert (read.at, read.details, read.object_id, read.address) == (MOMENT.astimezone(UTC), {}, None, "")


@settings(max_examples=60)
@given(st.dictionaries(st.text(), st.text(), max_size=20), st.text(max_size=300))
def test_texts_are_bounded_and_can_be_stored(details: dict[str, str], object_id: str) -> None:
    entry = NewEntry("operator", Action.ORDER_CANCEL, object_id=object_id, details=details)
    text = canonical_text(ALICE, 1, MOMENT, entry)
    read = read_text(text)
    assert len(text.encode()) <= 16_384
    assert "\\u0000" not in text
    assert len(read.details) <= 16
    assert all(len(name) <= 40 and len(value) <= 200 for name, value in read.details.items())
    assert len(read.object_id or "") <= 128


def test_an_entry_follows_only_the_one_before_in_its_own_chain(vault: Vault) -> None:
    first, second, third = extend_chain(vault, ALICE, EMPTY, MOMENT, paused(3))
    assert follows(vault, ALICE, b"", first)
    assert follows(vault, ALICE, second.mac, third)
    assert not follows(vault, ALICE, first.mac, third)
    assert not follows(vault, BOB, second.mac, third)
    assert not follows(vault, ALICE, second.mac, Link(4, third.body, third.mac))
    assert not follows(vault, ALICE, second.mac, Link(3, third.body.replace("paused", "Paused"), third.mac))
