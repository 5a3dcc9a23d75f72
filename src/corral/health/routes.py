"""Alive, and ready: for load balancers and process supervisors. Neither says anything about the inside."""

from typing import Final, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from corral.edge.problems import responses_for
from corral.edge.services import ServiceKey
from corral.errors import Problem
from corral.health.readiness import ReadinessMonitor

READINESS: Final = ServiceKey[ReadinessMonitor]("readiness")

router = APIRouter(tags=["health"])


class NotReady(Problem):
    """This process should get no requests at the moment. Its log, and `corral doctor`, have the reason."""

    status, code, title = 503, "not_ready", "Not ready"


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    status: Literal["ready"] = "ready"


@router.head("/healthz", include_in_schema=False)
@router.get(
    "/healthz",
    summary="Is it alive",
)
async def healthz() -> Alive:
    """Answers as long as the process does; asks nobody."""
    return Alive()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Is it ready", responses=responses_for(NotReady))
async def readyz(request: Request) -> Ready:
    """Not stopping, and a database that answers, takes writes, is of this release and keeps tenants apart.

    (The keyring is open: without it nothing starts.)
    """
    if not await READINESS.of(request).is_ready():
        raise NotReady(retry_after=30)
    return Ready()
