"""One stored account, and an Alpaca whose responses a test sets."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Faults, Service, StartService
from tests.log_lines import LogSince
from tests.people import Person, make_person, paper_key

Json = dict[str, Any]


class Account:
    """A stored account of a person's, and what Alpaca is to answer about it."""

    def __init__(self, person: Person, faults: Faults, key_id: str, credential_id: str) -> None:
        self.person = person
        base = person.client._base_url  # pyright: ignore[reportPrivateUsage]  # of the person's service
        assert base is not None
        self.url = base
        self.headers = {"Authorization": f"Bearer {person.token}"}
        self.key_id = key_id
        self.credential_id = credential_id
        self._faults = faults

    async def answer(self, *bodies: object, path: str) -> None:
        """One after the other, and the last one for ever."""
        faults: list[dict[str, object]] = [
            {"key_id": self.key_id, "path": path, "body_text": body if isinstance(body, str) else json.dumps(body)}
            for body in bodies
        ]
        await self._faults.set_all([*({**fault, "times": 1} for fault in faults[:-1]), faults[-1]])

    async def misbehave_in_turn(self, *faults: dict[str, object]) -> None:
        await self._faults.set_all([{"key_id": self.key_id, **fault} for fault in faults])

    async def misbehave(self, **fault: object) -> None:
        await self._faults.set(self.key_id, **fault)

    async def metadata(self) -> Json:
        async with self.person.client.get(f"/api/credentials/{self.credential_id}") as answer:
            return await answer.json()

    async def calls(self, path: str = "") -> int:
        """How many requests Alpaca got, of all or for this path."""
        return await self._faults.calls_of(self.key_id, path)

    async def get(self, read: str, *, refused: int | None = None, **asked: Any) -> Json:  # noqa: ANN401 - whatever an address can hold
        """What is answered; with `refused`, the problem with this status."""
        path = f"/api/credentials/{self.credential_id}/{read}"
        async with self.person.client.get(path, params=asked) as answer:
            assert answer.status == (refused or 200), await answer.text()
            assert answer.content_type == ("application/problem+json" if refused else "application/json")
            return await answer.json(content_type=None)


@pytest.fixture
def log(log_file: Path) -> LogSince:
    return LogSince(log_file)


@pytest.fixture(scope="session")
async def forgetful(start_service: StartService) -> AsyncGenerator[Service]:
    """It keeps no answers, so that every request meets what was set for it."""
    async with start_service(cache_seconds=0) as service:
        yield service


@pytest.fixture
async def account(forgetful: Service, faults: Faults) -> AsyncGenerator[Account]:
    async with make_person(forgetful, "alice") as person:
        key_id = paper_key()
        credential = await person.store(key_id)
        yield Account(person, faults, key_id, credential["id"])
