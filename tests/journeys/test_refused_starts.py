"""What stops the start: each in one line, before anything is written."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from corral.credentials.keyring_check import open_vault
from corral.database.embedded.instance import EmbeddedDatabase
from corral.vault import KeyringRefused, make_keyring
from tests.conftest import Service
from tests.journeys.footprint import files_in, rows_of, settled_rows_of
from tests.journeys.program import Ended, corral, free_port
from tests.people import Person


@dataclass(frozen=True, slots=True)
class Spoiled:
    """What is done to a valid keyring, and the message that follows."""

    spoil: Callable[[Path], object]
    reported: str


def emptied(keyring: Path) -> None:
    keyring.write_bytes(b"")


def cut_short(keyring: Path) -> None:
    keyring.write_bytes(keyring.read_bytes()[:-100])


def without_verifying_key(keyring: Path) -> None:
    document = json.loads(keyring.read_text())
    del document["verifying"]
    keyring.write_text(json.dumps(document))


def another_database_s(keyring: Path) -> None:
    keyring.unlink()
    make_keyring(keyring)


def with_a_half_of_another(keyring: Path, half: str) -> None:
    own = json.loads(keyring.read_text())
    another_database_s(keyring)
    keyring.write_text(json.dumps(own | {half: json.loads(keyring.read_text())[half]}))


SPOILED = {
    "missing": Spoiled(Path.unlink, "put your copy of it there"),
    "empty": Spoiled(emptied, "not a complete Corral keyring"),
    "cut short": Spoiled(cut_short, "not a complete Corral keyring"),
    "some other JSON": Spoiled(lambda keyring: keyring.write_text('{"keys": []}'), "not a complete Corral keyring"),
    "a JSON list": Spoiled(lambda keyring: keyring.write_text("[1, 2]"), "not a complete Corral keyring"),
    "no text": Spoiled(lambda keyring: keyring.write_bytes(b"\xff\xfe\x00\x01"), "not a complete Corral keyring"),
    "of another format": Spoiled(
        lambda keyring: keyring.write_text(keyring.read_text().replace('"corral_keyring": 1', '"corral_keyring": 2')),
        "not a complete Corral keyring",
    ),
    "half": Spoiled(without_verifying_key, "not a complete Corral keyring"),
    "readable by the group": Spoiled(lambda keyring: keyring.chmod(0o640), "chmod 600"),
    "readable by the world": Spoiled(lambda keyring: keyring.chmod(0o604), "chmod 600"),
    "another database's": Spoiled(another_database_s, "belongs to another database"),
    "a folder": Spoiled(lambda keyring: (keyring.unlink(), keyring.mkdir(0o700)), "is a directory"),
    "a named pipe": Spoiled(lambda keyring: (keyring.unlink(), os.mkfifo(keyring, 0o600)), "is a named pipe"),
    "one whose sealing half is another's": Spoiled(
        partial(with_a_half_of_another, half="sealing"), "belongs to another database"
    ),
    "one whose verifying half is another's": Spoiled(
        partial(with_a_half_of_another, half="verifying"), "belongs to another database"
    ),
}


@pytest.fixture
async def keyring(alice: Person, service: Service, folder: Path) -> Path:
    """A good copy of the run's keyring, in a data folder of its own; the database has a sealed row of alice's."""
    await alice.store()
    await service.services.state["authenticator"].close()  # writes what it noted: later it would look like a change
    await service.services.state["credentials"].close()
    return copied(service.services.settings.keyring_path, folder)


def copied(keyring: Path, folder: Path) -> Path:
    copy = folder / "keyring.json"
    copy.write_bytes(keyring.read_bytes())
    copy.chmod(0o600)
    return copy


def key_material_in(keyring: Path) -> str:
    return json.loads(keyring.read_text())["sealing"]["key"][0]["keyData"]["value"]


async def start_with(keyring: Path, postgres: EmbeddedDatabase) -> Ended:
    return await corral(
        "serve",
        port=free_port(),  # reserved before everything else, so it has to be one that an ordinary user may have
        data_dir=keyring.parent,
        database_url=postgres.dsn("corral_app"),
        database_owner_url=postgres.dsn("corral_owner"),
    )


@pytest.mark.parametrize("what", SPOILED)
async def test_a_keyring_of_another_database_opens_no_vault(
    what: str, keyring: Path, service: Service, postgres: EmbeddedDatabase
) -> None:
    SPOILED[what].spoil(keyring)
    before = files_in(keyring.parent), await settled_rows_of(postgres.dsn("corral_owner"))
    with pytest.raises(KeyringRefused, match=SPOILED[what].reported) as refused:
        await open_vault(service.resources.database, keyring)
    assert str(keyring) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert (files_in(keyring.parent), await rows_of(postgres.dsn("corral_owner"))) == before


@pytest.mark.parametrize(
    "what", ["missing", "cut short", "readable by the world", "another database's", "a named pipe"]
)
async def test_a_keyring_of_another_database_prevents_the_start(
    what: str, keyring: Path, postgres: EmbeddedDatabase
) -> None:
    SPOILED[what].spoil(keyring)
    before = files_in(keyring.parent), await settled_rows_of(postgres.dsn("corral_owner"))
    assert SPOILED[what].reported in (await start_with(keyring, postgres)).only_complaint
    assert (files_in(keyring.parent), await rows_of(postgres.dsn("corral_owner"))) == before


async def test_nothing_of_an_invalid_keyring_is_repeated(keyring: Path, postgres: EmbeddedDatabase) -> None:
    """A parser's message may quote what it read, and what it read is the master key."""
    key = key_material_in(keyring)
    cut_short(keyring)
    refused = await start_with(keyring, postgres)
    assert all(key[start : start + 8] not in refused.err for start in range(len(key) - 8))


async def test_the_serving_role_must_not_be_the_owner(keyring: Path, postgres: EmbeddedDatabase) -> None:
    before = files_in(keyring.parent), await settled_rows_of(postgres.dsn("corral_owner"))
    owner = postgres.dsn("corral_owner")
    refused = await corral("serve", data_dir=keyring.parent, database_url=owner, database_owner_url=owner)
    assert "corral_owner owns" in refused.only_complaint
    assert len(refused.only_complaint) < 1000
    assert (files_in(keyring.parent), await rows_of(postgres.dsn("corral_owner"))) == before
