"""Every address of the pages, read from the application itself, so that a new one is in these tests at once."""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Final

from fastapi.routing import iter_route_contexts

from corral.app import create_api
from corral.web.people_pages import Deed as PersonDeed

SAFE: Final = frozenset({"GET", "HEAD"})
NOBODYS: Final = "4b0b5a2e-9a3c-4c1e-8a57-0d9c6f2f6d31"

# Where pages come from before there is anybody.
OF_STRANGERS: Final = frozenset({"/sign-in", "/sign-in/code", "/setup", "/invitation", "/recover"})

_NO_PAGE: Final = ("/api/", "/openapi.json", "/healthz", "/readyz", "/static/")
_PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")
_DEEDS: Final = {
    "/keys/{credential_id}/{deed}": ("rename", "replace", "switch-off", "switch-on", "delete"),
    "/people/{person_id}/{deed}": PersonDeed.__args__,
}


def _pages() -> Iterator[tuple[str, str]]:
    """Methods and templates, a template for each deed."""
    for route in iter_route_contexts(create_api().routes):
        if not route.path or route.path.startswith(_NO_PAGE):
            continue
        template = _PARAMETER.sub(r"{\1}", route.path)
        for method, deed in product(sorted(route.methods or ()), _DEEDS.get(template, ("",))):
            yield method, template.replace("{deed}", deed)


PAGES: Final = sorted({template for method, template in _pages() if method in SAFE})
ACTIONS: Final = sorted({template for method, template in _pages() if method not in SAFE})
METHODS: Final = frozenset(method for method, _ in _pages())


def filled_in(template: str, ids: Mapping[str, str] | None = None) -> str:
    """With `ids` by the parameter's name, or with those of nothing that is there."""
    return template.format_map(ids or dict.fromkeys(_PARAMETER.findall(template), NOBODYS))
