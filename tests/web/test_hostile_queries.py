"""Links that were typed, cut off or forged: a page is shown, and nothing of a validator's text."""

import re

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
_PARAMETERS = """since to status direction kind side type asset symbol span sort cursor wait next reason group view
q utm_source order_id environment account"""
_NAMES = _PARAMETERS.split()
_VALUES = ["", "2026-02-31", "9" * 300, "%00", "%3Cscript%3E", "1e999"]
_QUERIES = [
    *["&".join(f"{name}={_VALUES[(at + turn) % len(_VALUES)]}" for at, name in enumerate(_NAMES)) for turn in range(3)],
    "&".join(f"{name}=1&{name}=2" for name in _NAMES),
    "=&&=&%&since[]=1&since.x=2",
]


async def test_no_query_brings_up_a_validators_words(
    service: Service, alice: Person, bob: Person, alices: ClientSession
) -> None:
    await make_administrator(service, alice.email)
    ids = await ids_of(service, alice, bob)
    for path in [filled_in(page, ids) for page in PAGES if page != "/sign-out"]:
        for query in _QUERIES:
            async with alices.get(f"{path}?{query}") as answer:
                text = await answer.text()
            if answer.content_type == "text/html":
                text = Parsed(text).text()
            assert answer.status in {200, 404}, (path, query, answer.status, text[:500])
            assert not _VALIDATORS_WORDS.search(text), (path, query, _VALIDATORS_WORDS.search(text))
