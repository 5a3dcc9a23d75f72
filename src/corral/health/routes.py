"""Alive, and ready: for load balancers and process supervisors. Neither says anything about the inside."""

from typing import TYPE_CHECKING, Literal, cast

from fastapi import APIRouter, Request
from pydantic import BaseModel

from corral.edge.problems import responses_for
from corral.edge.resources import resources
from corral.errors import DatabaseUnavailable, Problem

if TYPE_CHECKING:
    from corral.health.watch import Watch

router = APIRouter(tags=["health"])


class NotReady(Problem):
    """Corral runs, but does not serve safely at the moment. Its log, and `corral doctor`, have the reason."""

    status, code, title = 503, "not_ready", "Not ready"


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    status: Literal["ready"] = "ready"


@router.get(
    "/healthz",
    summary="Is it alive",
)
async def healthz() -> Alive:
    """Answers as long as the process does; asks nobody."""
    return Alive()


@router.get("/readyz", summary="Is it ready", responses=responses_for(NotReady, DatabaseUnavailable))
async def readyz(request: Request) -> Ready:
    """Database reachable, schema of this release and unweakened, keyring open (without it nothing starts)."""
    await resources(request).database.fetchval("SELECT 1")
    if cast("Watch", request.state.watch).weaknesses:
        raise NotReady(retry_after=30)
    return Ready()
