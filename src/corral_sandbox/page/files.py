"""The page at `/`, for people: what the sandbox is, which keys work, and its accounts, clock and prices.

Its files are static. Its script asks the control API, which shows it nothing that a program would not see.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from corral_sandbox.errors import EndpointNotFoundError, MethodNotAllowedError
from corral_sandbox.http.requests import Response

PAGE_PATH: Final = "/_page/"
_FOLDER: Final = files("corral_sandbox.page") / "static"
_SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    content_type: str

    def response(self) -> Response:
        return Response(200, self.content, {"Content-Type": self.content_type, **_SECURITY_HEADERS})


def _read(name: str, content_type: str) -> _File:
    return _File((_FOLDER / name).read_bytes(), content_type)


_PAGE: Final = _read("index.html", "text/html; charset=utf-8")
_FILES: Final = {
    "page.css": _read("page.css", "text/css; charset=utf-8"),
    "page.js": _read("page.js", "text/javascript; charset=utf-8"),
    "icon.svg": _read("icon.svg", "image/svg+xml"),
}


def is_page(path: str) -> bool:
    """`path` has no slash at its end, so that of the page is empty."""
    return not path or path.startswith(PAGE_PATH)


def page_response(method: str, path: str, headers: Mapping[str, str]) -> Response:
    """Returns the page to a browser, one of its files to anybody, and errors as responses, too.

    Alpaca has nothing at `/`, and a program gets Alpaca's 404 there.
    """
    if not path:
        is_shown = method in {"GET", "HEAD"} and _wants_page(headers.get("Accept", ""))
        return _PAGE.response() if is_shown else Response.of_error(EndpointNotFoundError())
    file = _FILES.get(path.removeprefix(PAGE_PATH))
    if file is None:
        return Response.of_error(EndpointNotFoundError())
    return file.response() if method in {"GET", "HEAD"} else Response.of_error(MethodNotAllowedError(["GET", "HEAD"]))


def _wants_page(accept: str) -> bool:
    """Browsers name HTML; programs name JSON, or take anything."""
    media_types = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return "text/html" in media_types and "application/json" not in media_types
