"""Writes the answers over all accounts as JSON. In a thread, so that a long list does not block the event loop."""

from asyncio import to_thread
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, cast
from uuid import UUID

import orjson
from pydantic import BaseModel

from corral.accounts.combined.equity import AllCurves, Curve
from corral.accounts.combined.lists import AccountItem, CombinedPage
from corral.accounts.combined.merged_positions import PositionPart
from corral.accounts.combined.positions import AllPositions
from corral.accounts.combined.reading import AccountProblem
from corral.accounts.overview import problem_body
from corral.errors import Problem

Unselected = Sequence[tuple[UUID, Problem]]
"""Ids that were selected and are not those of an active account."""


async def write_positions(found: AllPositions, unselected: Unselected) -> bytes:
    rest = {"totals": found.totals, "unreadable": found.unreadable, "next_cursor": None}
    return await _written(found.items, found.problems, unselected, rest)


async def write_page(found: CombinedPage[Any], unselected: Unselected) -> bytes:
    rest = {"unreadable": found.unreadable, "next_cursor": found.next_cursor}
    return await _written(found.items, found.problems, unselected, rest)


async def write_curves(found: AllCurves, unselected: Unselected) -> bytes:
    rest = {"unreadable": found.unreadable, "next_cursor": None}
    return await _written(found.curves, found.problems, unselected, rest)


async def _written(
    items: Sequence[object], problems: Iterable[AccountProblem], unselected: Unselected, rest: Mapping[str, object]
) -> bytes:
    named = [*unselected, *((one.credential_id, one.problem) for one in problems)]
    listed = [{"credential_id": one, "problem": problem_body(problem)} for one, problem in named]
    content = {"items": items, "problems": listed, **rest}
    return await to_thread(orjson.dumps, content, _members, orjson.OPT_PASSTHROUGH_DATACLASS)


def _members(value: object) -> object:
    """Returns the members of what orjson does not know. An item begins with whose it is."""
    if isinstance(value, UUID):  # the database's own subclass
        return str(value)
    if isinstance(value, PositionPart):
        return {"credential_id": value.credential_id, **vars(value.position)}
    if isinstance(value, AccountItem):
        whose = cast("AccountItem[BaseModel]", value)
        return {"credential_id": whose.credential_id, **vars(whose.item)}
    if isinstance(value, Curve):
        return {**_fields(value), "accounts": len(value.accounts), "credential_ids": value.accounts}
    return vars(value) if isinstance(value, BaseModel) else _fields(value)


def _fields(value: object) -> dict[str, object]:
    return {field.name: getattr(value, field.name) for field in fields(cast("Any", value))}
