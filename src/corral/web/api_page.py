"""The API's description, for everybody."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from corral.web.templating import render_page
from corral.web.visitors import PerhapsVisitor

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def api_docs(request: Request, user: PerhapsVisitor) -> HTMLResponse:
    return render_page(request, "api_docs.html", user=user)
