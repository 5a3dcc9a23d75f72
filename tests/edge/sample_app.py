"""A small application, with whatever an application does to its edge."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.exceptions import HTTPException

from corral.edge.error_handlers import install_problem_handlers
from corral.edge.problems import PROBLEM_RESPONSES, responses_for
from corral.errors import DatabaseUnavailable, NotFound, Problem
from tests.edge.wire import CANARY


class Unauthenticated(Problem):
    """Sign in first."""

    status, code, title = 401, "unauthenticated", "Unauthenticated"


class HorseNotFound(Problem):
    """There is no such horse."""

    status, code, title = 404, "horse_not_found", "Horse not found"


class Horse(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=20)]
    age: Annotated[int, Field(le=40)] = 3

    @field_validator("name")
    @classmethod
    def _neighs(cls, name: str) -> str:
        if "quote" in name:
            raise ValueError(f"{name} is not a name for a horse")
        if name.islower():
            raise ValueError("a horse has a capital letter")
        return name


horses = APIRouter(prefix="/horses")


@horses.get("/{horse_id}", responses=responses_for(HorseNotFound, NotFound, Unauthenticated))
async def show(horse_id: UUID, request: Request) -> dict[str, str]:
    request.state.user_id = "alice"
    return {"id": str(horse_id)}


@horses.post("")
async def add(horse: Horse) -> Horse:
    return horse


@horses.delete("")
async def release() -> None:
    pass


@horses.get("/broken/{how}")
async def broken(how: str) -> Response:
    match how:
        case "bug":
            raise ZeroDivisionError(f"bug with {CANARY}")
        case "problem":
            raise DatabaseUnavailable(retry_after=2, region="prairie")
        case "unauthenticated":
            raise Unauthenticated
        case "teapot":
            raise HTTPException(418, detail=CANARY)
        case "header":
            return Response(headers={"X-Forged": "a\r\nSet-Cookie: a=b"})
        case _:
            return StreamingResponse(_half_a_body())


async def _half_a_body() -> AsyncIterator[bytes]:
    yield b"half"
    raise ZeroDivisionError("in the middle")


page = APIRouter()


@page.get("/page")
async def show_page() -> HTMLResponse:
    return HTMLResponse(
        "<p>", headers={"Content-Security-Policy": "default-src 'self'", "Cache-Control": "max-age=60", "Server": "x"}
    )


@page.get("/slow")
async def slow() -> str:
    await asyncio.sleep(0.5)
    return "done"


@page.post("/form")
async def form(request: Request) -> int:
    return len(await request.body())


@page.post("/headers")
async def headers(request: Request) -> list[str]:
    await request.body()
    return sorted(request.headers)


@page.get("/healthz")
async def healthz() -> str:
    return "ok"


def sample_app() -> FastAPI:
    app = FastAPI(responses=PROBLEM_RESPONSES)
    install_problem_handlers(app)
    app.include_router(horses, prefix="/api")
    app.include_router(page)
    return app
