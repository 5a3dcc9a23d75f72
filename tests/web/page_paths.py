"""The paths of all pages, read from the application, so that tests include new ones."""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Final

from fastapi.routing import iter_route_contexts

from corral.web.pages.members import Action as MemberAction
from tests.operations import API

SAFE: Final = frozenset({"GET", "HEAD"})
UNKNOWN_ID: Final = "4b0b5a2e-9a3c-4c1e-8a57-0d9c6f2f6d31"

# Pages that need no session.
PUBLIC_PAGES: Final = frozenset({"/sign-in", "/sign-in/code", "/setup", "/invitation", "/recover"})

_NOT_PAGES: Final = ("/api/", "/openapi.json", "/manifest.webmanifest", "/healthz", "/readyz", "/static/")
_PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")
_ACTIONS_BY_PATH: Final = {
    "/keys/{credential_id}/{action}": ("rename", "replace", "switch-off", "switch-on", "delete"),
    "/people/{person_id}/{action}": MemberAction.__args__,
}


def _pages() -> Iterator[tuple[str, str]]:
    """Returns methods and path templates, one for each action."""
    for route in iter_route_contexts(API.routes):
        if not route.path or route.path.startswith(_NOT_PAGES):
            continue
        template = _PARAMETER.sub(r"{\1}", route.path)
        for method, action in product(sorted(route.methods or ()), _ACTIONS_BY_PATH.get(template, ("",))):
            yield method, template.replace("{action}", action)


_ALL: Final = list(_pages())
PAGES: Final = sorted({template for method, template in _ALL if method in SAFE})
ACTIONS: Final = sorted({template for method, template in _ALL if method not in SAFE})
METHODS: Final = frozenset(method for method, _ in _ALL)


def filled_in(template: str, ids: Mapping[str, str] | None = None) -> str:
    """With `ids` by the parameter's name, or with an unknown id. A symbol is nobody's."""
    return template.format_map(ids or dict.fromkeys(_PARAMETER.findall(template), UNKNOWN_ID) | {"symbol": "AAPL"})
