"""The API reference, which a script renders from the OpenAPI document. Needs no session."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from corral.web.page_user import OptionalPageUser
from corral.web.rendering import render_page

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def show_api_docs(request: Request, user: OptionalPageUser) -> HTMLResponse:
    return render_page(request, "api_docs.html", user=user)
