"""A page waits for Alpaca as long as a reader does not notice, and says the rest later."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from pydantic import BaseModel

from corral.accounts.cache import Answer as KeptAnswer
from corral.errors import Problem

UNNOTICED_SECONDS: Final = 0.15

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Heard(Generic[Answer]):
    """The answer, or the problem that there is; with neither, the answer is still under way."""

    answer: Answer | None = None
    problem: Problem | None = None

    @property
    def is_under_way(self) -> bool:
        return self.answer is None and self.problem is None


async def hear(asked: Awaitable[KeptAnswer[Answer]], *, seconds: float | None) -> Heard[Answer]:
    """Waits so long, or until Alpaca's own deadline for None.

    What is asked by way of the snapshots goes on without its reader, so the next page finds it.
    """
    try:
        async with asyncio.timeout(seconds):
            return Heard(answer=(await asked).value)
    except TimeoutError:
        return Heard()
    except Problem as problem:
        return Heard(problem=problem)
