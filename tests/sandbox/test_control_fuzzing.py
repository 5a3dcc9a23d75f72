"""The control calls, asked for nonsense: none fails with 5XX, each refusal says what is wrong, and changes nothing.

`make test` tries some nonsense, the same each time; with `--fuzz-minutes`, much more of it, and each time other.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from datetime import datetime
from http.client import HTTPConnection
from typing import Any, Final, cast
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corral_sandbox import run_sandbox
from tests.sandbox.fuzzing import ACCOUNT
from tests.sandbox.people import ALICE

_EXAMPLES, _EXAMPLES_A_MINUTE = 150, 500

# Each is accepted. What is sent differs from it in one or two places.
_ACCEPTED: Final[list[tuple[str, str, Any]]] = [
    ("PUT", "/_clock", {"at": "2026-11-24T10:30-05:00", "speed": 0}),
    ("POST", "/_clock/advance", {"seconds": 90, "if_at": "2026-11-24T10:00-05:00", "progress": True}),
    ("POST", "/_clock/advance", {"to": "2026-11-24T10:00:30-05:00"}),
    (
        "PUT",
        f"/_accounts/{ALICE}",
        {
            **ACCOUNT,
            "character": "investor",
            "currency": "USD",
            "multiplier": "4",
            "status": "ACTIVE",
            "options_level": 3,
            "daytrade_count": 1,
            "restrictions": ["trading_blocked"],
            "configurations": {"no_shorting": False, "max_margin_multiplier": "2"},
        },
    ),
    ("PUT", "/_prices", {"AAPL": "270.00", "BTC/USD": [["2026-11-24T10:05-05:00", "271"]], "KO": "halted"}),
    (
        "PUT",
        "/_faults",
        {
            "faults": [
                {
                    "key_id": ALICE,
                    "path": "/v2/account",
                    "method": "GET",
                    "times": 1,
                    "status": 503,
                    "body": {"a": [1]},
                },
                {"path": "/v2/orders", "times": 2, "order": {"outcome": "partially_filled", "filled_qty": "1"}},
                {"account_raw": {"cash": "1e5"}, "account_without": ["id"], "drip": {"bytes": 1, "every_ms": 0}},
                {"path": "/stream", "stream": {"loses_every": 2}, "headers": {"X-A": "b"}, "latency_ms": 0},
                {"rate_limited": {"retry_after": 3}, "after": True, "cut": "mid_body"},
            ]
        },
    ),
    ("DELETE", "/_prices/AAPL", None),
    ("PUT", "/_requests", None),
    ("GET", f"/_requests/{ALICE}?after=0", None),
    ("POST", "/_reset", None),
]
_PATHS: Final = sorted({path for _, path, _ in _ACCEPTED} | {"/_health", "/_nothing", "/_accounts/", "/_prices/KO/1"})
_TEXTS: Final = ("", "\x00", "\ud800", "½", "9" * 400, "1e400", "-1", "NaN", "null", "PK", "halted", "open", "{path}")
_TIMES: Final = ("0001-01-01T00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-11-24T10:00", "1900-01-01T00:00Z")
_NUMBERS: Final = (0, -1, 0.5, 1e300, -1e300, 10**30, 10**400, 1e-300, 2**63, float("inf"), float("nan"))
_NONSENSE: Final[tuple[Any, ...]] = (*_TEXTS, *_TIMES, *_NUMBERS, None, True, False, [], {}, [[]], [None], {"a": 1})
_BODIES: Final = (
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff",
    b'"\xed\xa0\x80"',
    b"[" * 5_000,
    b'{"AAPL": 1e9999999999999999999}',
)


@st.composite
def _changed(draw: st.DrawFn, body: Any) -> Any:  # noqa: ANN401 - any JSON
    """Replaces a value somewhere in it, leaves it out, or adds one."""
    value: Any = draw(st.sampled_from(_NONSENSE))
    places: list[Any] = sorted(cast("dict[str, Any]", body)) if isinstance(body, dict) else []
    if isinstance(body, list):
        places = list(range(len(cast("list[Any]", body))))
    if not places or not draw(st.integers(0, 4)):
        return value
    copy: Any = deepcopy(cast("Any", body))
    place = draw(st.sampled_from(places))
    what = draw(st.sampled_from(["inside", "inside", "inside", "without", "beside"]))
    if what == "without":
        del copy[place]
    elif what == "beside":
        copy = [*copy, value] if isinstance(body, list) else {**copy, draw(st.sampled_from(_TEXTS)): value}
    else:
        copy[place] = draw(_changed(body[place]))
    return copy


@st.composite
def _requests(draw: st.DrawFn) -> tuple[str, str, bytes]:
    method, path, body = draw(st.sampled_from(_ACCEPTED))
    if not draw(st.integers(0, 9)):
        method = draw(st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"]))
        path = draw(st.sampled_from(_PATHS)) + draw(
            st.sampled_from(["", "/", "/%00", "?after=-1", "?x=%ff", "%ED%A0%80"])
        )
    if not draw(st.integers(0, 9)):
        return method, path, draw(st.sampled_from(_BODIES))
    changed = draw(_changed(body))
    return method, path, json.dumps(draw(_changed(changed)) if draw(st.booleans()) else changed).encode()


class Control:
    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        self._connection.request(method, path, body)
        response = self._connection.getresponse()
        return response.status, response.read()

    def begin(self) -> None:
        for method, path, body in (
            ("POST", "/_reset", None),
            ("PUT", f"/_accounts/{ALICE}", ACCOUNT),
            ("PUT", "/_prices", {"KO": "halted", "BTC/USD": "50000"}),
            ("PUT", "/_faults", {"faults": [{"path": "/v2/clock", "times": 3, "status": 503}]}),
        ):
            status, answer = self.ask(method, path, b"" if body is None else json.dumps(body).encode())
            assert status == 200, answer

    def everything(self) -> list[tuple[int, bytes]]:
        paths = ("/_clock", f"/_accounts/{ALICE}", "/_prices", "/_faults", "/_requests", f"/_requests/{ALICE}")
        return [self.ask("GET", path) for path in paths]


@pytest.fixture
def control() -> Iterator[Control]:
    with (
        run_sandbox(start=datetime.fromisoformat("2026-11-24T10:00-05:00"), speed=0) as sandbox,
        closing(HTTPConnection(urlsplit(sandbox.url).netloc, timeout=60)) as connection,
    ):
        yield Control(connection)


def test_what_is_refused_says_why_and_changes_nothing(control: Control, request: pytest.FixtureRequest) -> None:
    minutes = request.config.getoption("--fuzz-minutes")
    control.begin()
    before = control.everything()
    assert {status for status, _ in before} == {200}
    refusals: list[str] = []

    @settings(
        max_examples=round(minutes * _EXAMPLES_A_MINUTE) if minutes else _EXAMPLES,
        derandomize=not minutes,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(_requests())
    def check(sent: tuple[str, str, bytes]) -> None:
        method, path, body = sent
        status, answer = control.ask(method, path, body)
        assert status < 500, answer
        if status < 400:
            assert {status for status, _ in control.everything()} == {200}
            control.begin()
        elif method != "HEAD":
            refusals.append(json.loads(answer)["message"])
            assert len(refusals[-1]) > len("field")
        assert control.everything() == before

    check()
    assert len(set(refusals)) > _EXAMPLES / 10


def test_each_of_these_calls_is_accepted_before_it_is_changed(control: Control) -> None:
    for method, path, body in _ACCEPTED:
        control.begin()
        sent = {name: value for name, value in body.items() if name != "if_at"} if body else None
        status, answer = control.ask(method, path, b"" if sent is None else json.dumps(sent).encode())
        assert status == 200, (method, path, answer)
