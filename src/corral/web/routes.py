"""The pages and what they are made of.

They are static shells: a page holds no data, its scripts ask the API for them with the session cookie.
"""

from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from corral.errors import NotFound
from corral.web.pages import render_pages
from corral.web.static_files import read_static_files, version_of

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)

_STATIC: Final = read_static_files(files("corral.web") / "static")
_VERSION: Final = version_of(_STATIC)
_PAGES: Final = {
    sandbox: render_pages(files("corral.web") / "templates", f"/static/{_VERSION}", sandbox=sandbox)
    for sandbox in (False, True)
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def accounts(request: Request) -> HTMLResponse:
    return _page(request, "accounts")


@router.get("/sign-in")
async def sign_in(request: Request) -> HTMLResponse:
    return _page(request, "sign_in")


@router.get("/setup")
async def set_up(request: Request) -> HTMLResponse:
    return _page(request, "set_up")


@router.get("/docs")
async def api_docs(request: Request) -> HTMLResponse:
    return _page(request, "api_docs")


@router.get("/static/{version}/{path:path}")
async def static_file(version: str, path: str) -> Response:
    """Any version is answered with the present one, so that a page from before an update still has its styles."""
    file = _STATIC.get(path)
    if file is None:
        raise NotFound
    caching = "public, max-age=31536000, immutable" if version == _VERSION else "no-cache"
    return Response(file.content, media_type=file.media_type, headers={"cache-control": caching})


def _page(request: Request, name: str) -> HTMLResponse:
    page = _PAGES[request.state.sandbox][name]
    return HTMLResponse(page, headers={"content-security-policy": CONTENT_SECURITY_POLICY})
