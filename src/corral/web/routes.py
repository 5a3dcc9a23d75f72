"""All routes of the pages and of their static files."""

from http import HTTPStatus

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from corral.errors import NotFound
from corral.web.content_codings import accepts_gzip, matches
from corral.web.manifest import describe_application
from corral.web.pages import (
    account,
    api_docs,
    api_keys,
    api_tokens,
    arrange,
    audit_trail,
    combined,
    display_settings,
    grant,
    grants,
    home,
    invitation,
    members,
    order,
    position,
    revoke_grants,
    settings,
    sign_in,
)
from corral.web.static_files import STATIC_FILES, STATIC_VERSION

router = APIRouter(include_in_schema=False)
for page in (
    home,
    arrange,
    account,
    grants,
    grant,
    revoke_grants,
    order,
    position,
    combined,
    api_keys,
    settings,
    display_settings,
    api_tokens,
    audit_trail,
    members,
    invitation,
    sign_in,
    api_docs,
):
    router.include_router(page.router)


@router.get("/manifest.webmanifest")
async def web_manifest(request: Request) -> Response:
    """What a device needs to install the pages as an application. It is public and the same for everyone."""
    manifest = orjson.dumps(describe_application(sandbox=request.state.sandbox))
    return Response(manifest, media_type="application/manifest+json", headers={"cache-control": "no-cache"})


@router.api_route("/static/{version}/{path:path}", methods=["GET", "HEAD"])
async def static_file(version: str, path: str, request: Request) -> Response:
    """Returns the current file for any version, so that a page loaded before an update still gets its styles."""
    file = STATIC_FILES.get(path)
    if file is None:
        raise NotFound
    caching = "public, max-age=31536000, immutable" if version == STATIC_VERSION else "no-cache"
    coded = file.compressed if accepts_gzip(request.headers.get("accept-encoding")) else None
    etag = file.etag if coded is None else file.compressed_etag
    headers = {"cache-control": caching, "vary": "Accept-Encoding", "etag": etag}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if coded is None:
        return Response(file.content, media_type=file.media_type, headers=headers)
    return Response(coded, media_type=file.media_type, headers={**headers, "content-encoding": "gzip"})
