"""What happens to each request: it is counted, kept in the journal, delayed or broken by faults, and answered."""

import asyncio
import re
from collections.abc import Mapping
from secrets import token_hex

from aiohttp import web

from corral_sandbox.broker.initial_state import KEY_ID_PREFIXES
from corral_sandbox.control.access import ControlAccess
from corral_sandbox.control.accounts import AccountsControl
from corral_sandbox.control.clock import ClockControl, SandboxClock
from corral_sandbox.control.faults import FaultsControl
from corral_sandbox.control.health import HealthControl
from corral_sandbox.control.prices import PricesControl
from corral_sandbox.control.requests import RequestsControl
from corral_sandbox.control.reset import ResetControl
from corral_sandbox.control.routes import ControlApi
from corral_sandbox.errors import ApiError, EndpointNotFoundError
from corral_sandbox.faults.effects import apply_fault, replacement_response, reset_connection, send_response
from corral_sandbox.faults.plan import STREAM_PATH, FaultPlan, FaultRule
from corral_sandbox.http.access import RequestCounts, claimed_key_id
from corral_sandbox.http.journal import Journal, JournalEntry
from corral_sandbox.http.requests import EventStream, Response, Route
from corral_sandbox.market.time import Clock, format_timestamp
from corral_sandbox.market_data_api import DATA_PREFIXES, DATA_ROUTES, MarketDataApi
from corral_sandbox.page.files import is_page, page_response
from corral_sandbox.stream.data_feeds import DataFeed, feed_of
from corral_sandbox.stream.market_data import MarketDataStreams
from corral_sandbox.stream.trade_updates import TradeUpdatesServer
from corral_sandbox.trading_api import ROUTES, TradingApi

_REPEATED_SLASHES = re.compile("/{2,}")


class RequestHandler:
    """Receives every request: to the Trading API of both environments, the streams, the control endpoints, the page."""

    def __init__(
        self,
        api: TradingApi,
        data_api: MarketDataApi,
        clock: Clock,
        access: ControlAccess,
        *,
        latency_seconds: float,
        streams_per_account: int,
    ) -> None:
        self._api = api
        self._data_api = data_api
        self._data_streams = MarketDataStreams(api.accounts.market, clock, max_connections=streams_per_account)
        self._latency_seconds = latency_seconds
        self._clock = clock
        self._faults = FaultPlan(_methods_of)
        self._counts = RequestCounts()
        self._journal = Journal()
        self._streams = TradeUpdatesServer(
            api.accounts,
            self._faults,
            self._counts,
            self._journal,
            max_connections=streams_per_account,
            delay=self._delay,
            now=clock.now,
        )
        self._event_streams: dict[EventStream, web.BaseRequest] = {}
        self.clock = SandboxClock(clock, api.scheduler, self._flush)
        requests = RequestsControl(self._counts, self._journal)
        self._control = ControlApi(
            {
                "_clock": ClockControl(self.clock).handle,
                "_accounts": AccountsControl(api.accounts, clock).handle,
                "_faults": FaultsControl(self._clear_faults, self._faults).handle,
                "_prices": PricesControl(api.accounts, clock).handle,
                "_health": HealthControl(self._facts).handle,
                "_requests": requests.handle,
                "_reset": ResetControl(
                    {
                        "accounts": api.accounts.reset_all,
                        "clock": self.clock.reset,
                        "prices": api.accounts.market.reset,
                        "faults": self._clear_faults,
                        "requests": requests.reset,
                    }
                ).handle,
            },
            access,
            clock.turn,
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._route(request)
        except web.RequestPayloadError:  # the body is not what its headers say, such as gzip
            refusal = ApiError(400, "request body format is invalid", code=40010000)
            return await self._send(request, Response.of_error(refusal), None)

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        path = _normalized(request.rel_url.raw_path)
        environment, rest = split_environment(path)
        if "Upgrade" in request.headers and (feed := feed_of(rest)) is not None:
            return await self._handle_data_stream(request, feed)
        if rest.startswith(DATA_PREFIXES):
            return await self._handle_market_data(request, rest)
        if not path or path.startswith("/_"):
            return await self._handle_own(request, path)
        if rest == STREAM_PATH:
            return await self._handle_stream(request, environment)
        route = ROUTES.find(rest)
        if environment is not None or route is not None:
            return await self._handle_trading(request, environment, rest, route)
        return await self._send(request, Response.of_error(EndpointNotFoundError()), None)

    async def _handle_own(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """What Alpaca does not have: the page and the control endpoints."""
        if is_page(path):
            return await self._send(request, page_response(request.method, path, request.headers), None)
        done = await self._control.handle(request, path)
        return done if isinstance(done, web.StreamResponse) else await self._send(request, done, None)

    async def _handle_trading(
        self, request: web.BaseRequest, environment: str | None, path: str, route: Route | None
    ) -> web.StreamResponse:
        key_id, pattern, method = claimed_key_id(request.headers), route.pattern if route else None, request.method
        with self._counts.counting(key_id, pattern):
            body = await request.read() if request.can_read_body else b""
            query = request.rel_url.raw_query_string
            entry = self._journal.begin(key_id, self._clock.now(), method=method, path=path, query=query, body=body)
            fault = self._take_fault(key_id, method, path, pattern)
            if fault is None or not fault.after:
                await self._delay(fault)
            response = self._replacement(fault, request.headers)
            if response is None or (fault is not None and fault.after):
                outcome = fault.order.to_outcome() if fault and fault.order else None
                await self._clock.turn()
                done = self._api.handle(
                    environment, method, route, request.headers, query_string=query, body=body, order_outcome=outcome
                )
                response = _either(done, response)
            if fault is not None and fault.after:
                await self._delay(fault)
            if response.stream is None or (fault is not None and fault.cut):
                return await self._send(request, response, fault, entry)
        return await self._send_stream(request, response, response.stream, fault, entry)

    async def _handle_market_data(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        route, key_id, method = DATA_ROUTES.find(path), claimed_key_id(request.headers), request.method
        pattern, query = route.pattern if route else None, request.rel_url.raw_query_string
        with self._counts.counting(key_id, pattern):
            entry = self._journal.begin(key_id, self._clock.now(), method=method, path=path, query=query)
            fault = self._take_fault(key_id, method, path, pattern)
            await self._delay(fault)
            response = self._replacement(fault, request.headers)
            if response is None:
                await self._clock.turn()
                response = await self._data_api.handle(method, route, request.headers, query)
            return await self._send(request, response, fault, entry)

    async def _handle_stream(self, request: web.BaseRequest, environment: str | None) -> web.StreamResponse:
        """Serves a connection until it ends, or returns the response that refuses it."""
        key_id = claimed_key_id(request.headers)
        fault = self._take_fault(key_id, request.method, STREAM_PATH, STREAM_PATH)
        try:
            if fault is None or not fault.refuses_handshake:
                return await self._streams.serve(request, environment, fault)
            response = self._replacement(fault, request.headers) or Response(400, b"")
        except ApiError as error:
            response = Response.of_error(error)
        with self._counts.counting(key_id, STREAM_PATH):
            entry = self._journal.begin(key_id, self._clock.now(), method=request.method, path=STREAM_PATH)
            await self._delay(fault)
            return await self._send(request, response, fault, entry)

    def _take_fault(self, key_id: str | None, method: str, path: str, pattern: str | None) -> FaultRule | None:
        """Returns what a test has asked to go wrong; nearly always there is nothing to look through."""
        return self._faults.take(key_id, method, path, pattern) if self._faults.pending else None

    def _replacement(self, fault: FaultRule | None, headers: Mapping[str, str]) -> Response | None:
        return replacement_response(fault, headers, self._clock.real()) if fault else None

    async def _delay(self, fault: FaultRule | None) -> None:
        seconds = self._latency_seconds + (fault.latency_ms / 1_000 if fault else 0)
        if seconds:
            await asyncio.sleep(seconds)

    async def _handle_data_stream(self, request: web.BaseRequest, feed: DataFeed) -> web.StreamResponse:
        """Serves a connection until it ends, or returns the response that refuses it."""
        key_id, method = claimed_key_id(request.headers), request.method
        with self._counts.counting(key_id, feed.path):
            entry = self._journal.begin(key_id, self._clock.now(), method=method, path=feed.path)
            fault = self._take_fault(key_id, method, feed.path, feed.path)
            await self._delay(fault)
        try:
            if fault is None or not fault.refuses_handshake:
                return await self._data_streams.serve(request, feed)
            response = self._replacement(fault, request.headers) or Response(400, b"")
        except ApiError as error:
            response = Response.of_error(error)
        return await self._send(request, response, fault, entry)

    async def _send(
        self, request: web.BaseRequest, response: Response, fault: FaultRule | None, entry: JournalEntry | None = None
    ) -> web.StreamResponse:
        if response.stream is not None:
            response.stream.close()
        response.headers["X-Request-ID"] = token_hex(16)
        if fault is not None:
            apply_fault(response, fault)
        response.body = response.to_bytes()
        if fault is None:
            sent = response.to_web()
            self._journal.finish(entry, response.status, response.body)
            return sent
        is_answered = fault.cut != "before_headers"
        self._journal.finish(entry, response.status if is_answered else None, response.body if is_answered else b"")
        return await send_response(request, response, fault)

    async def _send_stream(
        self,
        request: web.BaseRequest,
        response: Response,
        stream: EventStream,
        fault: FaultRule | None,
        entry: JournalEntry | None,
    ) -> web.StreamResponse:
        """Sends events until the stream ends or the client disconnects."""
        self._journal.finish(entry, response.status)
        response.headers["X-Request-ID"] = token_hex(16)
        if fault is not None:
            apply_fault(response, fault)
        sent = web.StreamResponse(status=response.status, headers=response.all_headers())
        try:
            await sent.prepare(request)
            self._event_streams[stream] = request
            async for piece in stream:
                await sent.write(piece)
        except ConnectionError:
            pass  # the client has disconnected
        finally:
            self._event_streams.pop(stream, None)
            stream.close()
        return sent

    async def _flush(self) -> None:
        """Returns when every event has been written. A client that does not read is disconnected."""
        await asyncio.gather(
            self._streams.flush(), self._data_streams.flush(), *map(self._flush_events, list(self._event_streams))
        )

    async def _flush_events(self, stream: EventStream) -> None:
        try:
            await stream.flush()
        except TimeoutError:
            if stream in self._event_streams:
                reset_connection(self._event_streams[stream])

    def _clear_faults(self) -> None:
        self._faults.clear()
        self._streams.release_slots()

    def _facts(self) -> dict[str, object]:
        return {
            "at": format_timestamp(self._clock.now()),
            "seed": self._api.accounts.market.seed,
            "requests": self._counts.total,
            "streams": self._streams.connection_count,
            "faults": len(self._faults),
        }


def split_environment(path: str) -> tuple[str | None, str]:
    """Returns the environment that a path begins with, None at the root, and the rest: of "/paper/v2/account", "paper"
    and "/v2/account".
    """
    environment, _, rest = path[1:].partition("/")
    return (environment, f"/{rest}") if environment in KEY_ID_PREFIXES else (None, path)


def _methods_of(path: str) -> frozenset[str]:
    """Returns the methods of a path, or of a route's pattern, that a fault may name; none if it is not served."""
    if path == STREAM_PATH or feed_of(path) is not None or DATA_ROUTES.find(path) is not None:
        return frozenset({"GET"})
    return ROUTES.methods_of(path)


def _either(done: Response, replacement: Response | None) -> Response:
    """Returns what is sent of a request that was done. A stream that is not sent is closed."""
    if replacement is not None and done.stream is not None:
        done.stream.close()
    return replacement or done


def _normalized(path: str) -> str:
    """Removes repeated and trailing slashes: clients add both, and Alpaca's SDK does not follow redirects."""
    return (_REPEATED_SLASHES.sub("/", path) if "//" in path else path).rstrip("/")
