"""HTTP for the caller's own audit trail. It stands above identity, whose other half writes the trail."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from corral.audit.reading import Authenticate, export_trail, load_entries
from corral.audit.schemas import AuditList, AuditParams, item_of
from corral.edge.problems import responses_for
from corral.edge.request_state import resources_of
from corral.errors import DatabaseUnavailable, InvalidRequest
from corral.identity.dependencies import AuditRead, get_audit_reader
from corral.identity.problems import InsufficientScope, Unauthenticated

router = APIRouter(prefix="/api", tags=["audit"])

_PROBLEMS: Final = responses_for(Unauthenticated, InsufficientScope, InvalidRequest, DatabaseUnavailable)
_JSON_LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "JSON Lines. The first one is about the export; each further one has an entry and its `mac`. "
        "If an error occurs after the first byte, the connection is closed before the end of the body.",
        "content": {"application/jsonl": {"schema": {"type": "string"}}},
    }
}


class JsonLinesResponse(StreamingResponse):
    media_type = "application/jsonl"


@router.get("/audit", summary="Audit trail", responses=_PROBLEMS)
async def read_audit(params: Annotated[AuditParams, Query()], user: AuditRead, request: Request) -> AuditList:
    """Returns a page of what was done with your accounts and your access, the newest first."""
    page = await load_entries(user.id, resources_of(request).database, params.filters, params.limit)
    return AuditList(
        items=[item_of(entry) for entry in page.entries],
        next_cursor=None if page.next_before is None else str(page.next_before),
    )


@router.get(
    "/audit.jsonl",
    summary="Audit trail as a file",
    response_class=JsonLinesResponse,
    responses=_JSON_LINES | responses_for(Unauthenticated, InsufficientScope, DatabaseUnavailable),
)
async def export_audit(user: AuditRead, request: Request) -> JsonLinesResponse:
    """Returns your whole audit trail, oldest first. `corral audit verify FILE` verifies it with the keyring."""
    chunks = export_trail(resources_of(request).database, _authenticator(request))
    first = await anext(chunks)  # so that an error is an ordinary one
    name = f'attachment; filename="audit-{user.id}.jsonl"'
    return JsonLinesResponse(_joined(first, chunks), headers={"content-disposition": name})


def _authenticator(request: Request) -> Authenticate:
    async def authenticate() -> UUID:
        return (await get_audit_reader(request)).id

    return authenticate


async def _joined(first: bytes, chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(chunks):
        yield first
        async for chunk in chunks:
            yield chunk
