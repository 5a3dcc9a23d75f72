"""Liveness and readiness, for load balancers and process supervisors. Neither reveals internal details."""

from typing import Final, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from corral.edge.problems import responses_for
from corral.edge.request_state import StateKey
from corral.errors import Problem
from corral.health.readiness import ReadinessMonitor

READINESS: Final = StateKey[ReadinessMonitor]("readiness")

router = APIRouter(tags=["health"])


class NotReady(Problem):
    """This server isn't ready for requests. Its log and `corral doctor` have the reason."""

    status, code, title = 503, "not_ready", "Not ready"


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    status: Literal["ready"] = "ready"


@router.head("/healthz", include_in_schema=False)
@router.get(
    "/healthz",
    summary="Liveness",
)
async def healthz() -> Alive:
    """Returns 200 as long as the process responds. Checks nothing else."""
    return Alive()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Readiness", responses=responses_for(NotReady))
async def readyz(request: Request) -> Ready:
    """Returns 200 unless the server is stopping or the database is unavailable, read-only, outdated or misconfigured.

    The database has to keep users apart by row level security. The server does not start without its keyring.
    """
    if not await READINESS.of(request).is_ready():
        raise NotReady(retry_after=30)
    return Ready()
