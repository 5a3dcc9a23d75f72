"""On every page and form, alice's resources look like missing ones to bob."""

import re
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import ClientSession

from tests.access import fingerprints
from tests.conftest import Service
from tests.people import Person, key_pair, paper_key
from tests.web.page_ids import ids_of
from tests.web.page_paths import ACTIONS, PAGES, filled_in

_NICKNAME = "the meadow account"
_WITH_IDS = [("GET", page) for page in PAGES if "{" in page] + [("POST", action) for action in ACTIONS if "{" in action]
# What the owner would send. A form with fields has to be here, or bob is refused for another reason than that.
_SENT = {
    "rename": {"nickname": "bob was here"},
    "replace": key_pair(paper_key()),
    "delete": {"nickname": _NICKNAME},
    "grants": {"once": str(uuid4()), "name": "bob's", "access": "read", "expires_in": "1d"},
    "narrow": {"name": "bob was here"},
    "renew": {"expires_in": "1d"},
}

_REFUSED = {(method, address): 403 for method, address in _WITH_IDS if address.startswith("/people/")}
# Bob's own page, whatever session stands in the address: there is nothing else to see of one.
_REFUSED["GET", "/you/sessions/{session_id}/end"] = 200


@pytest.mark.parametrize(("method", "address"), _WITH_IDS)
async def test_bob_gets_the_same_response_for_alices_resources_as_for_missing_ones(
    method: str,
    address: str,
    service: Service,
    alice: Person,
    bob: Person,
    alices: ClientSession,
    bobs: ClientSession,
    owner: asyncpg.Connection,
) -> None:
    ids = await ids_of(service, alice, bob, _NICKNAME)
    before = await fingerprints(owner)
    told_of_hers = await _reported(bobs, method, filled_in(address, ids))
    told_of_nothing = await _reported(bobs, method, filled_in(address))
    assert told_of_hers == told_of_nothing
    assert told_of_hers[0] == _REFUSED.get((method, address), 404)
    assert await fingerprints(owner) == before
    if (method, address) not in _REFUSED and "replace" not in address:
        status, *_ = await _reported(alices, method, filled_in(address, ids))
        assert status < 400  # it was there all the time


async def _reported(session: ClientSession, method: str, path: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and page but for the request's own id, path and time, and the number of a form of its own."""
    sent = _SENT.get(path.rpartition("/")[2], {}) if method == "POST" else None
    async with session.request(method, path, data=sent, allow_redirects=False) as answer:
        own = answer.headers["X-Request-ID"]
        headers = {name: value for name, value in answer.headers.items() if name not in {"X-Request-ID", "Date"}}
        page = re.sub(r'name="once" value="[^"]+"', "", await answer.text())
        return answer.status, headers, page.replace(own, "").replace(path, "")
