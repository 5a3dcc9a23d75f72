"""What arrives too slowly, too large or broken, over real sockets."""

import asyncio
import io

import pytest

from corral.edge.connection import Limits
from tests.edge.sample_app import sample_app
from tests.edge.wire import Client, Served, request, served

JSON = "Content-Type: application/json"
HORSE = b'{"name": "Boxer"}'


async def assert_refused(client: Client, status: int, code: str) -> None:
    response = await client.response()
    assert (response.status, response.json()["code"]) == (status, code)
    assert response.headers["connection"] == "close"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"] == response.json()["request_id"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert await client.rest() == b"", "something was served after the refusal"


async def refused(server: Served, raw: bytes, status: int, code: str) -> None:
    client = await server.connect()
    await client.send(raw)
    await assert_refused(client, status, code)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param("Content-Length: 4\r\nTransfer-Encoding: chunked", id="length and chunked"),
        pytest.param("Transfer-Encoding: chunked\r\nContent-Length: 4", id="chunked and length"),
        pytest.param("Content-Length: 4\r\nContent-Length: 4", id="two equal lengths"),
        pytest.param("Content-Length: 4\r\nContent-Length: 5", id="two lengths"),
        pytest.param("Content-Length: 4, 4", id="a list of lengths"),
        pytest.param("Content-Length: +4", id="a signed length"),
        pytest.param("Content-Length: 0x4", id="a hexadecimal length"),
        pytest.param("Content-Length: -1", id="a negative length"),
        pytest.param("Transfer-Encoding: gzip, chunked", id="two codings"),
        pytest.param("Transfer-Encoding: identity", id="another coding"),
        pytest.param("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", id="chunked twice"),
        pytest.param("Transfer-Encoding : chunked", id="a blank before the colon"),
        pytest.param("Host: other.example.com", id="two hosts"),
        pytest.param("Authorization: Bearer a\r\nAuthorization: Bearer b", id="two authorizations"),
        pytest.param("X-Nul: a\x00b", id="a NUL in a value"),
        pytest.param("X-Bare: a\nX-Other: b", id="a bare LF"),
        pytest.param("X-Bare: a\rX-Other: b", id="a bare CR"),
        pytest.param("X-Folded: a\r\n b", id="a folded value"),
        pytest.param("X Blank: a", id="a blank in a name"),
        pytest.param("no colon", id="no colon"),
    ],
)
async def test_ambiguous_requests_are_refused_and_nothing_after_them_is_served(server: Served, broken: str) -> None:
    next_one = request("GET", "/healthz")
    await refused(server, request("POST", "/form", broken, body=b"0\r\n\r\n") + next_one, 400, "malformed_request")


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\nHost: a\n\n",
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT corral.example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /form HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_invalid_requests_are_refused(server: Served, raw: bytes) -> None:
    await refused(server, raw, 400, "malformed_request")


async def test_an_absolute_target_is_served_by_its_path_whatever_its_host(server: Served) -> None:
    assert (await server.ask(request("GET", "http://elsewhere.example.com/healthz"))).status == 200


@pytest.mark.parametrize("target", ["*", "//healthz", "/%2e%2e/healthz", "/healthz%00", "/healthz%0d%0a", "/;/healthz"])
async def test_odd_targets_are_not_found(server: Served, target: str) -> None:
    assert (await server.ask(request("GET", target))).json()["code"] == "not_found"


@pytest.mark.parametrize("start", [b"GET /", request("GET", "/")[:-2]], ids=["half a line", "half a head"])
async def test_an_incomplete_head_is_refused_after_its_timeout(log: io.BytesIO, start: bytes) -> None:
    async with served(sample_app(), log, limits=Limits(head_seconds=0.3)) as server:
        client = await server.connect()
        await client.send(start)
        await asyncio.sleep(0.2)
        await client.send(b"X")  # dripping does not win time
        async with asyncio.timeout(0.3):
            await assert_refused(client, 408, "request_timeout")


async def test_a_connection_without_a_request_is_closed_without_a_response(log: io.BytesIO) -> None:
    async with served(sample_app(), log, limits=Limits(head_seconds=0.2)) as server:
        assert await (await server.connect()).rest() == b""


async def test_the_next_head_has_its_own_deadline_which_begins_with_its_first_byte(log: io.BytesIO) -> None:
    async with served(sample_app(), log, limits=Limits(head_seconds=0.3)) as server:
        client = await server.connect()
        await client.send(request("GET", "/healthz"))
        assert (await client.response()).status == 200
        await asyncio.sleep(0.4)  # resting costs nothing
        await client.send(request("GET", "/healthz"))
        assert (await client.response()).status == 200
        await client.send(b"\r\n")
        await assert_refused(client, 408, "request_timeout")


async def test_a_head_that_begins_in_the_packet_of_the_request_before_has_a_deadline_too(log: io.BytesIO) -> None:
    async with served(sample_app(), log, limits=Limits(head_seconds=0.3)) as server:
        client = await server.connect()
        await client.send(request("GET", "/healthz") + b"GET /")
        assert (await client.response()).status == 200
        await assert_refused(client, 408, "request_timeout")


async def test_a_request_in_progress_is_not_ended_by_the_timeout_of_its_head(log: io.BytesIO) -> None:
    async with served(sample_app(), log, limits=Limits(head_seconds=0.1, body_seconds=0.1)) as server:
        assert (await server.ask(request("GET", "/slow"))).status == 200


@pytest.mark.parametrize("framing", ["Content-Length: 17", "Transfer-Encoding: chunked"])
async def test_an_incomplete_body_is_refused_after_its_timeout(log: io.BytesIO, framing: str) -> None:
    async with served(sample_app(), log, limits=Limits(body_seconds=0.3)) as server:
        client = await server.connect()
        await client.send(request("POST", "/api/horses", JSON, framing))
        await asyncio.sleep(0.2)
        await client.send(b"1")
        async with asyncio.timeout(0.3):
            await assert_refused(client, 408, "request_timeout")


async def test_a_slow_body_after_its_response_is_cut_off_without_a_second_response(log: io.BytesIO) -> None:
    async with served(sample_app(), log, limits=Limits(body_seconds=0.3)) as server:
        client = await server.connect()
        await client.send(request("GET", "/healthz", "Content-Length: 9"))
        assert (await client.response()).status == 200
        assert await client.rest() == b""


async def test_a_head_of_300_kilobytes_is_refused_before_it_has_arrived(server: Served) -> None:
    client = await server.connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ")
    for _ in range(300):
        client.writer.write(b"a" * 1024)
    await assert_refused(client, 431, "headers_too_large")


@pytest.mark.parametrize(
    ("headers", "target", "status"),
    [
        ([f"X-{n}: a" for n in range(99)], "/healthz", 200),
        ([f"X-{n}: a" for n in range(100)], "/healthz", 431),
        (["X-Long: " + "a" * 32_000], "/healthz", 200),
        (["X-Long: " + "a" * 33_000], "/healthz", 431),
        ([], "/healthz?" + "a" * 17_000, 200),
        ([], "/healthz?" + "a" * 17_500, 431),
    ],
)
async def test_a_head_may_be_as_large_as_the_limits_say(
    server: Served, headers: list[str], target: str, status: int
) -> None:
    assert (await server.ask(request("GET", target, *headers))).status == status


async def test_a_long_target_is_refused_before_it_ends(server: Served) -> None:
    await refused(server, b"GET /" + b"a" * 17_500, 431, "headers_too_large")


async def test_a_small_head_with_a_body_in_the_same_packet_is_not_too_large(server: Served) -> None:
    body = b"a" * 60_000
    assert (await server.ask(request("POST", "/form", "Content-Length: 60000", body=body))).body == b"60000"


async def test_pipelined_requests_are_answered_in_order(server: Served) -> None:
    client = await server.connect()
    await client.send(request("GET", "/slow") + request("GET", "/healthz") + request("GET", "/nowhere"))
    assert [(await client.response()).status for _ in range(3)] == [200, 200, 404]


async def test_each_pipelined_body_and_head_has_its_own_time_and_size(log: io.BytesIO) -> None:
    async with served(sample_app(), log, limits=Limits(body_seconds=0.4)) as server:
        client = await server.connect()
        post = request("POST", "/form", "Content-Length: 40000")
        await client.send(post + b"a" * 1_000)
        await asyncio.sleep(0.25)
        await client.send(b"a" * 39_000 + post[:20])
        assert (await client.response()).body == b"40000"
        await client.send(post[20:] + b"a" * 1_000)
        await asyncio.sleep(0.25)
        await client.send(b"a" * 39_000 + post + b"a" * 1_000)
        assert (await client.response()).body == b"40000"
        await asyncio.sleep(0.25)
        await client.send(b"a" * 39_000)
        assert (await client.response()).body == b"40000"


async def test_an_idle_connection_is_closed_after_its_timeout_and_a_busy_one_is_not(log: io.BytesIO) -> None:
    async with served(sample_app(), log, limits=Limits(rest_seconds=1)) as server:
        client = await server.connect()
        await client.send(request("GET", "/healthz"))
        await client.response()
        await asyncio.sleep(0.7)
        await client.send(request("GET", "/slow"))
        assert (await client.response()).status == 200
        assert await client.rest() == b""


async def test_an_invalid_pipelined_request_does_not_affect_the_response_before_it(server: Served) -> None:
    client = await server.connect()
    await client.send(request("GET", "/slow") + b"nonsense\r\n\r\n")
    assert (await client.response()).body == b'"done"'
    assert await client.rest() == b""


async def test_a_late_or_invalid_head_does_not_cut_off_the_response_before_it(log: io.BytesIO) -> None:
    async with served(sample_app(), log, limits=Limits(head_seconds=0.2)) as server:
        for rest in (b"", b" nonsense\r\n\r\n"):
            client = await server.connect()
            await client.send(request("GET", "/slow"))
            await client.send(b"GET /")
            await asyncio.sleep(0.05)
            await client.send(rest)
            assert (await client.response()).body == b'"done"'
            assert await client.rest() == b""


async def test_an_invalid_chunk_is_refused_and_the_application_gets_a_disconnect(server: Served) -> None:
    client = await server.connect()
    await client.send(request("POST", "/form", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n"))
    await asyncio.sleep(0.05)
    await client.send(b"zz\r\n")
    await assert_refused(client, 400, "malformed_request")
    refusal, line = server.lines()
    assert (refusal["event"], line["event"], line["path"]) == ("request_refused", "request", "/form")


async def test_trailers_become_headers_of_neither_this_request_nor_the_next(server: Served) -> None:
    client = await server.connect()
    chunked = request("POST", "/headers", "Transfer-Encoding: chunked", body=b"1\r\na\r\n0\r\n")
    await client.send(chunked)
    await client.send(b"Authorization: Bearer corral_a\r\nX-Last: a\r\n\r\n")
    assert (await client.response()).json() == ["host", "transfer-encoding"]
    await client.send(request("POST", "/headers"))
    assert (await client.response()).json() == ["host"]


async def test_an_endless_trailer_is_refused(log: io.BytesIO) -> None:
    async with served(sample_app(), log, limits=Limits(body_bytes=100_000)) as server:
        client = await server.connect()
        await client.send(request("POST", "/form", "Transfer-Encoding: chunked", body=b"1\r\na\r\n0\r\nX-Trailer: "))
        await asyncio.sleep(0.05)
        await client.send(b"a" * 200_000)
        await assert_refused(client, 413, "body_too_large")


async def test_an_endless_unread_body_is_cut_off(log: io.BytesIO) -> None:
    async with served(sample_app(), log, limits=Limits(body_bytes=100_000)) as server:
        client = await server.connect()
        await client.send(request("GET", "/healthz", "Transfer-Encoding: chunked"))
        assert (await client.response()).status == 200
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await send_megabytes(client, 100)


async def send_megabytes(client: Client, count: int) -> None:
    for _ in range(count):
        await client.send(b"fffff\r\n" + b"a" * 0xFFFFF + b"\r\n")


async def test_an_upgrade_is_ignored_and_the_following_bytes_are_not_read_as_a_request(server: Served) -> None:
    client = await server.connect()
    await client.send(request("GET", "/healthz", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: a"))
    await client.send(request("GET", "/nowhere"))
    assert (await client.response()).status == 200
    assert await client.rest() == b""


async def test_above_the_limit_of_connections_only_healthz_is_answered(log: io.BytesIO) -> None:
    async with served(sample_app(), log, limits=Limits(connections=2, spare_connections=2)) as server:
        resting = [await server.connect() for _ in range(2)]
        busy = await server.connect()
        await busy.send(request("GET", "/page"))
        response = await busy.response()
        assert (response.status, response.json()["code"], response.headers["retry-after"]) == (503, "overloaded", "1")
        assert (await server.ask(request("GET", "/healthz"))).status == 200
        assert await (await server.connect()).rest() == b"", "not even heard"
        resting[0].writer.close()


async def test_refusals_are_logged_once_by_code(server: Served) -> None:
    await refused(server, b"nonsense\r\n\r\n", 400, "malformed_request")
    (line,) = server.lines()
    assert (line["event"], line["status"], line["code"]) == ("request_refused", 400, "malformed_request")
    assert len(line["request_id"]) == 32
