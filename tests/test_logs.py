"""What a log line holds, and what it never holds."""

import asyncio
import io
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Any, Literal
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.logs import (
    REDACTED,
    added_to_request_line,
    begin_request_line,
    configure_logging,
    get_logger,
    redact,
)
from corral.secret import Secret
from tests.restored_logging import restored_logging

KEY_ID = "PK7Q2ZJ4M8X1C5V9B3N6"
SECRET = "wq8ZpT3rYkLm5Xv1Nc7Bd9Hs2Jf4Ga6Qe0UiOyRt"
NEW_SECRET = SECRET + "4k7W"
FORMATS: list[Literal["console", "json"]] = ["console", "json"]


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    with restored_logging():
        yield


@pytest.fixture(params=FORMATS)
def stream(request: pytest.FixtureRequest) -> io.BytesIO:
    return configured(request.param)


def configured(log_format: Literal["console", "json"]) -> io.BytesIO:
    stream = io.BytesIO()
    configure_logging(log_format, stream)
    return stream


def the_line(stream: io.BytesIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    return orjson.loads(line)


def test_an_event_is_one_json_object_with_time_level_and_request_id() -> None:
    stream = configured("json")

    def serve_request() -> None:
        begin_request_line("a" * 32)
        get_logger().info("credential stored", credential_id=UUID(int=7), tries=2, took=0.5, owner=None)

    copy_context().run(serve_request)
    line = the_line(stream)
    assert datetime.fromisoformat(line.pop("at")).tzinfo == UTC
    assert line == {
        "level": "info",
        "event": "credential stored",
        "request_id": "a" * 32,
        "credential_id": "00000000-0000-0000-0000-000000000007",
        "tries": 2,
        "took": 0.5,
        "owner": None,
    }


def test_the_line_of_a_request_takes_the_first_facts_that_are_offered_before_it_is_written() -> None:
    assert not added_to_request_line(alpaca_ms=1.5)  # no request is being served

    def serve_request() -> None:
        line = begin_request_line("a" * 32)
        assert added_to_request_line(alpaca_ms=1.5)
        assert not added_to_request_line(alpaca_ms=2.5)
        assert line.take_facts() == {"alpaca_ms": 1.5}
        assert not added_to_request_line(alpaca_ms=3.5)
        assert line.take_facts() == {}

    copy_context().run(serve_request)


def served(status: int, *, has_colors: bool = False) -> str:
    """What the console shows of one request, without the time."""
    stream = io.BytesIO()
    configure_logging("console", stream, has_colors=has_colors)

    def serve_request() -> None:
        begin_request_line("a" * 32)
        path = "/api/credentials/{credential_id}/account-data"
        user_id = UUID(int=0x4B0B5A2E << 96)
        get_logger().info("request", method="GET", path=path, status=status, duration_ms=84.4, user_id=user_id)

    copy_context().run(serve_request)
    text = stream.getvalue().decode()
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return text.removesuffix("\n")


def test_an_event_on_the_console_is_one_line_to_read() -> None:
    stream = configured("console")
    get_logger().warning("keyring_is_readable", mode="0644")
    at, _, line = stream.getvalue().decode().partition(" ")
    assert datetime.strptime(at, "%H:%M:%S")  # noqa: DTZ007 - the terminal shows local time
    assert line == "warning keyring is readable  mode=0644\n"


def test_a_request_on_the_console_is_one_line_of_80_columns() -> None:
    line = served(200)
    assert line[9:] == "200 GET /api/credentials/{id}/account-data 84 ms 4b0b5a2e"
    assert len(line) <= 80


def test_a_failed_request_on_the_console_has_the_reference_that_the_client_was_given() -> None:
    assert served(503).endswith(f" 4b0b5a2e reference={'a' * 32}")
    assert "reference" not in served(404)


@pytest.mark.parametrize(("status", "color"), [(200, 32), (303, 36), (404, 33), (503, 31)])
def test_colors_of_the_console_are_our_own_and_change_no_word(status: int, color: int) -> None:
    colored = served(status, has_colors=True)
    assert f"\x1b[{color}m{status}\x1b[0m GET " in colored
    assert re.sub(r"\x1b\[\d+m", "", colored)[9:] == served(status)[9:]


def test_no_value_colors_the_console() -> None:
    stream = io.BytesIO()
    configure_logging("console", stream, has_colors=True)
    get_logger().error("request", method="GET", path=FORGED, status=200, duration_ms=1.0, user_id=FORGED)
    get_logger().error(FORGED, value=FORGED)
    text = re.sub(r"\x1b\[(2|31|32)m|\x1b\[0m", "", stream.getvalue().decode())
    assert len(text.splitlines()) == 2
    assert all(char.isprintable() for char in text.replace("\n", ""))


def test_the_console_shows_requests_and_warnings_and_leaves_the_rest_to_collected_logs() -> None:
    stream = configured("console")
    get_logger().info("serving", url="http://127.0.0.1:8002")
    get_logger().info("alpaca_answered", environment="paper")
    assert stream.getvalue() == b""
    get_logger().info("stopping")
    assert stream.getvalue().endswith(b" info stopping\n")
    get_logger().warning("export_cut_off", code="upstream_failed")
    assert stream.getvalue().endswith(b" warning export cut off  code=upstream_failed\n")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (KEY_ID, REDACTED),
        (f"key {KEY_ID} refused", f"key {REDACTED} refused"),
        ("AK" + "A2B3C4D5" * 3, REDACTED),
        (f"\n{KEY_ID}\n", f"\n{REDACTED}\n"),
        (f"\\x00{KEY_ID}", f"\\x00{REDACTED}"),
        (SECRET, REDACTED),
        (NEW_SECRET, REDACTED),
        (f"('{KEY_ID}', '{SECRET}')", f"('{REDACTED}', '{REDACTED}')"),
        (f"sandbox-secret-for-{KEY_ID}", REDACTED),
        ("sandbox-secret-for-PK000001", REDACTED),
        ("token corral_pat_8fKq2LmZ0aPx", f"token {REDACTED}"),
        ("$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaA", REDACTED),
        ("postgresql://corral_app:s3cr3t@db:5432/corral", f"postgresql://{REDACTED}@db:5432/corral"),
        ("postgresql://corral_app:p@ss/w:rd@db/corral", f"postgresql://{REDACTED}@db/corral"),
        ("Authorization: Bearer abc.def", f"Authorization: {REDACTED}"),
        ("{'authorization': 'Bearer abc'}", f"{{'authorization': '{REDACTED}'}}"),
        ("[(b'cookie', b'session=abc; b=c')]", f"[(b'cookie', b'{REDACTED}')]"),
        ("Set-Cookie: session=abc; HttpOnly", f"Set-Cookie: {REDACTED}"),
        ('"APCA-API-SECRET-KEY": "short"', f'"APCA-API-SECRET-KEY": "{REDACTED}"'),
        ("{'secret_key': 'short', 'nickname': 'x'}", f"{{'secret_key': '{REDACTED}', 'nickname': 'x'}}"),
        ("password='hunter2'", f"password='{REDACTED}'"),
        ("sent bearer abcdefgh1", f"sent bearer {REDACTED}"),
    ],
)
def test_what_looks_like_a_secret_is_redacted(text: str, kept: str) -> None:
    assert redact(text) == kept
    for log_format in FORMATS:
        stream = configured(log_format)
        get_logger().warning("event", text=text)
        get_logger().warning(text)
        assert REDACTED.encode() in stream.getvalue()
        for secret in (KEY_ID, SECRET, "s3cr3t", "w:rd", "abc", "hunter2", "aGFzaA", "PK0", "8fKq"):
            assert secret.encode() not in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "4b0b5a2e-9a3c-4c1e-8a57-0d9c6f2f6d31",
        "4b0b5a2e9a3c4c1e8a570d9c6f2f6d31",
        "4B0B5A2E9A3C4C1E8A570D9C6F2F6D31",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "2026-11-24T14:30:05.123456Z",
        "/api/credentials/{credential_id}/account-data",
        "role corral_app may not bypass policies of corral_owner",
        "http://127.0.0.1:8002/healthz",
        "/usr/lib/python3.11/site-packages/Uvicorn/protocols/http/httptools_impl.py",
        "test_a_connection_without_a_request_is_closed_without_a_response",
        "AuthenticatedCredentialRepositoryProblemException",
        "no authorization header, no cookie",
        "PAPER ACCOUNT PACKAGED PK",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@given(
    before=st.text(max_size=20),
    secret=st.sampled_from([KEY_ID, SECRET, NEW_SECRET, "sandbox-secret-for-PK000001"]),
    after=st.text(max_size=20),
)
def test_a_secret_is_redacted_between_any_other_text(before: str, secret: str, after: str) -> None:
    stream = configured("json")
    get_logger().warning("event", text=f"{before}{secret}{after}", pair=[before, {"k": secret}])
    assert secret.encode() not in stream.getvalue()
    assert the_line(stream)["event"] == "event"


def test_a_value_under_a_sensitive_name_is_always_redacted(stream: io.BytesIO) -> None:
    get_logger().warning("event", password="plain words", token=b"bytes", **{"apca-api-key-id": "x1"})
    for value in (b"plain words", b"bytes", b"x1"):
        assert value not in stream.getvalue()


def test_a_secret_object_is_never_printed(stream: io.BytesIO) -> None:
    get_logger().warning("event", key=Secret("short"), keys=[Secret("short")])
    assert b"short" not in stream.getvalue()
    assert stream.getvalue().decode().count("Secret(…)") == 2


FORGED = '\n{"event": "forged"}\r\n2026-11-24T14:30:05Z info forged\x1b[2K\x85\u2028\u202e\x7f\x00'


def test_no_value_can_forge_a_line_or_control_a_terminal(stream: io.BytesIO) -> None:
    get_logger().warning(FORGED, value=FORGED, listed=[FORGED])
    text = stream.getvalue().decode()
    assert len(text.splitlines()) == 1
    assert all(char.isprintable() for char in text[:-1])


def test_what_cannot_be_encoded_is_escaped_and_logged(stream: io.BytesIO) -> None:
    get_logger().warning("event", half="\ud800", huge=10**30, none=float("nan"))
    assert b"\\ud800" in stream.getvalue()
    assert str(10**30).encode() in stream.getvalue()


def raise_with_locals(message: str) -> None:
    local = "only-a-local"
    raise ZeroDivisionError(f"after {len(local)}") from LookupError(message)


def test_a_traceback_has_the_stack_and_the_causes_without_locals_and_secrets(stream: io.BytesIO) -> None:
    try:
        raise_with_locals(f"key {KEY_ID}\nforged")
    except ZeroDivisionError:
        get_logger().exception("bug")
    text = stream.getvalue().decode()
    assert "ZeroDivisionError: after 12" in text
    assert "LookupError: key " + REDACTED in text
    assert "in raise_with_locals" in text
    assert KEY_ID not in text
    assert text.count("only-a-local") == 0


def test_a_traceback_on_the_console_is_set_off_so_that_it_forges_no_event() -> None:
    stream = configured("console")
    try:
        raise_with_locals(FORGED)
    except ZeroDivisionError as bug:
        get_logger().error("bug", exc_info=bug)
    first, *rest = stream.getvalue().decode().split("\n")[:-1]
    assert first.endswith("bug")
    assert all(line.startswith("  | ") and line.isprintable() for line in rest)


def test_records_of_other_libraries_are_the_same_lines_from_warning_on() -> None:
    stream = configured("json")
    logging.getLogger("asyncio").warning("executing %s took %s", "task", KEY_ID)
    logging.getLogger("aiohttp.client").info("chatter")
    logging.getLogger("asyncpg").debug("chatter")
    line = the_line(stream)
    assert (line["event"], line["level"], line["logger"]) == (f"executing task took {REDACTED}", "warning", "asyncio")


def test_loggers_set_to_debug_write_no_more() -> None:
    stream = configured("json")
    chatter = logging.getLogger("corral.test.chatter")
    chatter.setLevel(logging.DEBUG)
    chatter.debug("headers")
    chatter.info("headers")
    logging.getLogger("uvicorn.access").critical("/?key=a")
    assert stream.getvalue() == b""


def test_a_record_that_cannot_be_formatted_does_not_print_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    stream = configured("json")
    logging.getLogger("asyncio").warning("%d", SECRET)
    assert the_line(stream)["event"] == "a log record that cannot be formatted"
    assert SECRET not in "".join(capsys.readouterr())


def test_an_exception_of_another_library_keeps_its_traceback() -> None:
    stream = configured("json")
    try:
        raise_with_locals("x")
    except ZeroDivisionError:
        logging.getLogger("aiohttp.server").exception("Error handling request")
    assert "ZeroDivisionError" in the_line(stream)["exception"]


def test_a_hostile_text_of_8_kilobytes_is_searched_in_a_moment() -> None:
    for text in ("a", "://a:", "PK", "cookie", "a-", "bearer ", "aA1", "corral_", "password ", "corral_a", "cookie'"):
        began = process_time()
        redact(text * (8192 // len(text)))
        assert process_time() - began < 0.05, text


class _Writes(io.BytesIO):
    """Counts how often something is written."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - whatever io.BytesIO takes
        self.times += 1
        return super().write(data)


async def test_the_lines_of_one_pass_of_the_event_loop_are_written_together() -> None:
    stream = _Writes()
    configure_logging("json", stream)
    for number in range(3):
        get_logger().info("happened", number=number)
    assert stream.times == 0
    await asyncio.sleep(0)
    assert [orjson.loads(line)["number"] for line in stream.getvalue().splitlines()] == [0, 1, 2]
    assert stream.times == 1


def test_a_loop_that_ends_before_it_has_written_keeps_no_line_of_the_next_one() -> None:
    stream = io.BytesIO()
    configure_logging("json", stream)
    for name in ("first", "second"):
        loop = asyncio.new_event_loop()
        loop.call_soon(lambda: get_logger().info(name))  # noqa: B023 - it is called at once
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
    asyncio.run(_log_and_wait("third"))
    assert [orjson.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["first", "second", "third"]


async def _log_and_wait(name: str) -> None:
    get_logger().info(name)
    await asyncio.sleep(0)


async def test_a_thread_without_a_loop_writes_its_line_at_once_and_those_that_wait() -> None:
    stream = io.BytesIO()
    configure_logging("json", stream)
    get_logger().info("first")
    await asyncio.to_thread(get_logger().info, "second")
    assert [orjson.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["first", "second"]


async def test_lines_of_several_processes_in_one_pipe_do_not_cut_each_other() -> None:
    """Their reader is slower than they are, so that the pipe is full all the time."""
    ours, theirs = os.pipe()
    writers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _TALKER, str(worker)), stderr=theirs, env=os.environ | {"PYTHONPATH": _SOURCES}
        )
        for worker in (1, 2, 3)
    ]
    os.close(theirs)
    read = bytearray()
    with open(ours, "rb", buffering=0) as pipe:  # noqa: ASYNC230, PTH123 - a descriptor, read in a thread
        while chunk := await asyncio.to_thread(pipe.read, 1000):
            read += chunk
    assert [await writer.wait() for writer in writers] == [0, 0, 0]
    lines = [*map(orjson.loads, read.splitlines())]
    assert Counter(line["worker"] for line in lines) == {1: 300, 2: 300, 3: 300}
    assert all(set(line["text"]) == {str(line["worker"])} for line in lines)


_SOURCES = str(Path(__file__).parents[1] / "src")
_TALKER = """
import asyncio, sys
from corral.logs import configure_logging, get_logger
worker = int(sys.argv[1])
configure_logging("json", sys.stderr.buffer, worker=worker)
async def talk():
    for turn in range(30):
        for size in (10, 100, 900, 1800, 3900, 30, 50, 700, 2500, 3000):
            get_logger().info("talk", text=str(worker) * size)
        await asyncio.sleep(0)
asyncio.run(talk())
"""
