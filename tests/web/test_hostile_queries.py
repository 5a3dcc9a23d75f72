"""Links that were typed, cut off or forged: a page is shown, and nothing of a validator's text."""

import re

import pytest
from aiohttp import ClientSession

from tests.conftest import Service
from tests.identity.members import make_administrator
from tests.people import Person
from tests.web.page_ids import ids_of
from tests.web.page_paths import PAGES, filled_in
from tests.web.parsed_html import Parsed

_VALIDATORS_WORDS = re.compile(
    r"Input should|should be|should match|should have|valid(ation)? error|Value error|Field required|[Ee]xtra inputs"
    r"|type=|pydantic|invalid_request|unable to parse|not permitted|Invalid value|Traceback",
)
_NAMES = [
    "since",
    "to",
    "status",
    "direction",
    "kind",
    "side",
    "type",
    "asset",
    "symbol",
    "span",
    "sort",
    "cursor",
    "wait",
    "next",
    "reason",
    "group",
    "view",
    "q",
    "utm_source",
    "order_id",
    "environment",
    "account",
]
_VALUES = ["", "2026-02-31", "9" * 300, "%00", "%3Cscript%3E", "1e999"]
_PAGES = [page for page in PAGES if page != "/sign-out"]


@pytest.mark.parametrize("path", _PAGES)
async def test_no_query_brings_up_a_validators_words(
    path: str, service: Service, alice: Person, bob: Person, alices: ClientSession
) -> None:
    if "/people" in path:
        await make_administrator(service, alice.email)
    page = filled_in(path, await ids_of(service, alice, bob))
    queries = ["&".join(f"{name}={value}" for name in _NAMES) for value in _VALUES]
    queries += ["&".join(f"{name}=1&{name}=2" for name in _NAMES), "=&&=&%", "since[]=1&since.x=2"]
    for query in queries:
        async with alices.get(f"{page}?{query}") as answer:
            text = await answer.text()
        if answer.content_type == "text/html":
            text = Parsed(text).text()
        assert answer.status in {200, 404}, (query, answer.status, text[:1500])
        assert not _VALIDATORS_WORDS.search(text), (query, _VALIDATORS_WORDS.search(text))
