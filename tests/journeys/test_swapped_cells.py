"""An attacker with write access to the database moves sealed values: none opens where it does not belong."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from corral.database.connection import open_owner_connection
from tests.conftest import Faults, Service, StartService
from tests.people import Person, live_key, make_person, paper_key

FIELDS = ("api_key_sealed", "secret_key_sealed")


@dataclass(frozen=True, slots=True)
class Row:
    owner: Person
    id: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Alice's and bob's, a paper and a live one of each."""

    service: Service
    rows: list[Row]

    async def as_owner(self, sql: str, *arguments: object) -> None:
        assert self.service.services.addresses.owner is not None
        async with open_owner_connection(self.service.services.addresses.owner) as connection:
            await connection.execute(sql, *arguments)

    async def cells(self) -> dict[tuple[str, str], bytes]:
        assert self.service.services.addresses.owner is not None
        async with open_owner_connection(self.service.services.addresses.owner) as connection:
            found = await connection.fetch(
                f"SELECT id::text, {', '.join(FIELDS)} FROM corral.credentials WHERE id::text = ANY ($1)",
                [row.id for row in self.rows],
            )
        return {(row["id"], field): row[field] for row in found for field in FIELDS}


@pytest.fixture
async def rows(start_service: StartService) -> AsyncGenerator[Rows]:
    async with (
        start_service(cache_seconds=0) as service,
        make_person(service, "alice") as alice,
        make_person(service, "bob") as bob,
    ):
        made = [
            Row(owner, (await owner.store(key_id))["id"], key_id)
            for owner in (alice, bob)
            for key_id in (paper_key(), live_key())
        ]
        yield Rows(service, made)
        await Rows(service, made).as_owner(
            "DELETE FROM corral.credentials WHERE user_id = ANY ($1)", [alice.user_id, bob.user_id]
        )


def lines_of(log_file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log_file.read_bytes().splitlines()]


async def assert_it_does_not_open(row_id: str, reader: Person, rows: Rows, faults: Faults, log_file: Path) -> None:
    """The API says nothing, the log says it aloud, and Alpaca is not even dialled."""
    said = len(lines_of(log_file))
    before = [await faults.calls_of(row.key_id) for row in rows.rows]
    ways_in = (("GET", "account-data"), ("GET", "orders"), ("GET", "orders.csv"), ("POST", "validate"))
    for method, path in ways_in:
        async with reader.client.request(method, f"/api/credentials/{row_id}/{path}") as answer:
            assert (answer.status, (await answer.json())["code"]) == (500, "internal")
            text = await answer.text() + str(answer.raw_headers)
        assert all(row.key_id not in text for row in rows.rows)
    assert [await faults.calls_of(row.key_id) for row in rows.rows] == before
    lines = lines_of(log_file)[said:]
    alarms = [line for line in lines if line["event"] == "credential_seal_broken"]
    # Orders, and their file, are read beside the account that they are of: each opens the row for itself.
    assert [(alarm["level"], alarm["credential_id"]) for alarm in alarms] == [("error", row_id)] * (len(ways_in) + 2)
    # Every line about a call has a request id, except those of feeds and re-checks.
    assert not [line for line in lines if "environment" in line and "request_id" in line]


async def test_no_sealed_cell_opens_in_the_place_of_another(rows: Rows, faults: Faults, log_file: Path) -> None:
    """Every ordered pair of the eight cells: another person, another field, another environment."""
    cells = await rows.cells()
    assert len(cells) == 8
    owners = {row.id: row.owner for row in rows.rows}
    for (row_id, field), own in cells.items():
        for source, moved in cells.items():
            if source == (row_id, field):
                continue
            update = f"UPDATE corral.credentials SET {field} = $2 WHERE id::text = $1"
            await rows.as_owner(update, row_id, moved)
            await assert_it_does_not_open(row_id, owners[row_id], rows, faults, log_file)
            await rows.as_owner(update, row_id, own)
    for row in rows.rows:
        async with row.owner.client.get(f"/api/credentials/{row.id}/account-data") as answer:
            assert answer.status == 200, "everything is back in its place"


async def test_no_row_opens_for_another_user(rows: Rows, faults: Faults, log_file: Path) -> None:
    alices, bobs = rows.rows[0], rows.rows[2]
    await rows.as_owner("UPDATE corral.credentials SET user_id = $2 WHERE id::text = $1", alices.id, bobs.owner.user_id)
    await assert_it_does_not_open(alices.id, bobs.owner, rows, faults, log_file)
    async with alices.owner.client.get(f"/api/credentials/{alices.id}/account-data") as answer:
        assert answer.status == 404


async def test_rows_whose_ids_are_swapped_do_not_open(rows: Rows, faults: Faults, log_file: Path) -> None:
    alices, bobs = rows.rows[0], rows.rows[2]
    await rows.as_owner(
        """
        UPDATE corral.credentials c SET id = CASE WHEN c.id::text = $1 THEN $2::text::uuid ELSE $1::text::uuid END
        WHERE c.id::text IN ($1, $2)
        """,
        alices.id, bobs.id,
    )  # fmt: skip
    await assert_it_does_not_open(bobs.id, alices.owner, rows, faults, log_file)
    await assert_it_does_not_open(alices.id, bobs.owner, rows, faults, log_file)


async def test_a_row_with_the_other_environment_does_not_open(rows: Rows, faults: Faults, log_file: Path) -> None:
    for row, other in zip(rows.rows[:2], ("live", "paper"), strict=True):
        await rows.as_owner("UPDATE corral.credentials SET credential_type = $2 WHERE id::text = $1", row.id, other)
        await assert_it_does_not_open(row.id, row.owner, rows, faults, log_file)


@pytest.mark.parametrize("change", ["first byte", "last byte", "cut short", "empty"])
async def test_an_altered_cell_does_not_open(change: str, rows: Rows, faults: Faults, log_file: Path) -> None:
    row = rows.rows[0]
    cell = (await rows.cells())[row.id, "secret_key_sealed"]
    altered = {
        "first byte": bytes([cell[0] ^ 1]) + cell[1:],
        "last byte": cell[:-1] + bytes([cell[-1] ^ 1]),
        "cut short": cell[:-1],
        "empty": b"",
    }[change]
    await rows.as_owner("UPDATE corral.credentials SET secret_key_sealed = $2 WHERE id::text = $1", row.id, altered)
    await assert_it_does_not_open(row.id, row.owner, rows, faults, log_file)
