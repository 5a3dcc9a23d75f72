"""Every page, and what pages are made of. One module for each page, with a router of its own."""

from fastapi import APIRouter
from fastapi.responses import Response

from corral.errors import NotFound
from corral.web import (
    account_page,
    accounts_page,
    api_page,
    invitation_page,
    keys_pages,
    people_pages,
    sign_in_pages,
    you_pages,
)
from corral.web.static_files import STATIC_FILES, STATIC_VERSION

router = APIRouter(include_in_schema=False)
_PAGES = (accounts_page, account_page, keys_pages, you_pages, people_pages, invitation_page, sign_in_pages, api_page)
for page in _PAGES:
    router.include_router(page.router)


@router.get("/static/{version}/{path:path}")
async def static_file(version: str, path: str) -> Response:
    """Any version is answered with the present one, so that a page from before an update still has its styles."""
    file = STATIC_FILES.get(path)
    if file is None:
        raise NotFound
    caching = "public, max-age=31536000, immutable" if version == STATIC_VERSION else "no-cache"
    return Response(file.content, media_type=file.media_type, headers={"cache-control": caching})
