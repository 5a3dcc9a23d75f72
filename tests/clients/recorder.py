"""Stands between a client and the sandbox, and writes down what the client sends.

It listens in plain text, over TLS for clients that insist on it, and as a proxy for clients whose hosts are fixed: it
answers as `paper-api.alpaca.markets` and the other hosts of Alpaca, with a certificate of its own.
"""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import AnyStr

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from yarl import URL

from corral_sandbox import secret_of, token_of
from tests.clients.recordings import Exchange, Message, Socket

# What Alpaca serves there, the sandbox serves below this path.
_PATHS_OF_HOSTS = {
    "paper-api.alpaca.markets": "/paper",
    "api.alpaca.markets": "/live",
    "data.alpaca.markets": "",
    "stream.data.alpaca.markets": "",
}
_HEADERS_OF_A_CONNECTION = {"connection", "host", "transfer-encoding", "upgrade", "content-length", "accept-encoding"}
_HEADERS_RECORDED = {"accept", "apca-api-key-id", "apca-api-secret-key", "authorization", "content-type"}
_CHUNK = 65_536

Answered = tuple[int, str, bytes]
"""Status, media type and body."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Where it listens, and what it has written down in the order of arrival."""

    url: str
    tls_url: str
    proxy_url: str
    certificate: Path
    recorded: list[Exchange | Socket]


@asynccontextmanager
async def recording(sandbox_url: str, key_id: str, folder: Path) -> AsyncGenerator[Recorder]:
    """Records while the block runs. `key_id` is the one whose secrets are masked; the certificate goes to `folder`."""
    async with (
        ClientSession(auto_decompress=False) as http,
        relaying(Relay(http, sandbox_url, key_id), folder) as recorder,
    ):
        yield recorder


@asynccontextmanager
async def relaying(relay: "Relay", folder: Path) -> AsyncGenerator[Recorder]:
    """Listens for the relay while the block runs."""
    certificate, tls = _certificate(folder)
    async with AsyncExitStack() as stack:
        runner = web.ServerRunner(web.Server(relay.handle, access_log=None), handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        plain_port, tls_port = (address[1] for address in runner.addresses)
        tunnels = _Tunnels(tls_port)
        proxy = await asyncio.start_server(tunnels.accept, "127.0.0.1", 0)
        stack.push_async_callback(tunnels.close)
        stack.callback(proxy.close)
        yield Recorder(
            f"http://127.0.0.1:{plain_port}",
            f"https://127.0.0.1:{tls_port}",
            f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}",
            certificate,
            relay.recorded,
        )


class Relay:
    """Passes on to the sandbox what a client sends, and its answers."""

    def __init__(self, http: ClientSession, sandbox_url: str, key_id: str) -> None:
        self.http = http
        self.sandbox_url = sandbox_url
        self._secrets = {secret_of(key_id): "SECRET", token_of(key_id): "TOKEN", key_id: "KEY"}
        self.recorded: list[Exchange | Socket] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = _PATHS_OF_HOSTS.get(request.host, "") + request.rel_url.raw_path_qs
        headers = {name.lower(): self._mask(value) for name, value in request.headers.items()}
        recorded = {name: value for name, value in sorted(headers.items()) if name in _HEADERS_RECORDED}
        passed_on = {
            name: value for name, value in request.headers.items() if name.lower() not in _HEADERS_OF_A_CONNECTION
        }
        if "Upgrade" in request.headers:
            return await self._handle_socket(request, path, recorded, passed_on)
        body = await request.read()
        exchange = Exchange(request.method, path, recorded, self._mask(body.decode()))
        self.recorded.append(exchange)
        status, kind, answer = await self.ask(request.method, path, passed_on, body)
        exchange.finish(status, answer)
        return web.Response(status=status, headers={"Content-Type": kind} if answer else {}, body=answer)

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answered:
        return await self.send(method, self.sandbox_url + path, headers, body)

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        asked = self.http.request(method, URL(url, encoded=True), headers=headers, data=body or None)
        async with asked as response:
            kind = response.headers.get("Content-Type", "application/json")
            return response.status, kind, await response.read()

    def socket_address(self, path: str) -> str:
        return self.sandbox_url + path

    def translated(self, frame: AnyStr, path: str) -> AnyStr:  # noqa: ARG002 - for relays that use other keys there
        """What is sent on in place of a frame."""
        return frame

    async def _handle_socket(
        self, request: web.BaseRequest, path: str, recorded: dict[str, str], passed_on: Mapping[str, str]
    ) -> web.StreamResponse:
        socket = Socket(path, recorded)
        self.recorded.append(socket)
        passed_on = {name: value for name, value in passed_on.items() if not name.lower().startswith("sec-websocket")}
        url = URL(self.socket_address(path), encoded=True)
        async with self.http.ws_connect(url, headers=passed_on, max_msg_size=0) as upstream:
            downstream = web.WebSocketResponse(compress=False, max_msg_size=0)
            await downstream.prepare(request)
            back = asyncio.create_task(_pass_back(upstream, downstream))
            async for frame in downstream:
                if frame.type is WSMsgType.TEXT:
                    socket.sent.append(Message.of_text(self._mask(frame.data)))
                    await upstream.send_str(self.translated(frame.data, path))
                elif frame.type is WSMsgType.BINARY:
                    socket.sent.append(self._masked(Message.of_bytes(frame.data)))
                    await upstream.send_bytes(self.translated(frame.data, path))
            back.cancel()
        return downstream

    def _mask(self, text: str) -> str:
        for secret, name in self._secrets.items():
            text = text.replace(secret, name)
        return text

    def _masked(self, message: Message) -> Message:
        return message.masked(self._mask)


async def _pass_back(upstream: ClientWebSocketResponse, downstream: web.WebSocketResponse) -> None:
    with suppress(ConnectionError):
        async for frame in upstream:
            if frame.type is WSMsgType.TEXT:
                await downstream.send_str(frame.data)
            elif frame.type is WSMsgType.BINARY:
                await downstream.send_bytes(frame.data)
        await downstream.close()


class _Tunnels:
    """A proxy for `CONNECT`: whatever host is asked for, the recorder answers."""

    def __init__(self, tls_port: int) -> None:
        self._tls_port = tls_port
        self._running: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._running.add(task)
        writers = [writer]
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 Connection Established\r\n\r\n")
            answers, requests = await asyncio.open_connection("127.0.0.1", self._tls_port)
            writers.append(requests)
            await asyncio.gather(_copy(reader, requests), _copy(answers, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # one side has gone
        finally:
            self._running.discard(task)
            for each in writers:
                each.transport.abort()

    async def close(self) -> None:
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.close()


def _certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Returns a certificate for Alpaca's hosts and this machine, valid for two days, and a server that shows it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    names = ",".join(["IP:127.0.0.1", *(f"DNS:{host}" for host in _PATHS_OF_HOSTS)])
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key)]
    what = ["-out", str(certificate), "-days", "2", "-subj", "/CN=recorder", "-addext", f"subjectAltName={names}"]
    subprocess.run(["openssl", "req", "-x509", *new_key, *what], check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return certificate, server
