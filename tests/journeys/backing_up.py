"""Who is in the data that is backed up, and what is in its folders."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.journeys.program import PATIENCE, Running, corral_reading

ALICE, BOB, CAROL = "you@example.com", "bob@example.com", "carol@example.com"
PASSWORD: Final = "a right horse, a staple and a battery"


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def is_kept(data: Path) -> bool:
    return any(".before-restore-" in name for name in names_in(data))


async def reached(condition: Callable[[], bool], program: Running) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            assert program.process.returncode is None, program.err
            await asyncio.sleep(0.005)


async def add_people(settings: dict[str, str]) -> None:
    for email, option in ((ALICE, "--admin"), (BOB, "--password-stdin")):
        added = await corral_reading(f"{PASSWORD}\n", "users", "add", email, "--password-stdin", option, **settings)
        assert added.status == 0, added
