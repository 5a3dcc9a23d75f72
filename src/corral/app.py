"""The composition root: what lives as long as the process, and the application over it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypedDict

from fastapi import FastAPI

from corral import __version__
from corral.accounts import read_routes as reads
from corral.accounts import routes as accounts
from corral.accounts.fast_lane import FastLane
from corral.accounts.last_known import LastKnown
from corral.accounts.snapshots import Snapshots
from corral.alpaca.client import AlpacaClient, open_alpaca
from corral.alpaca.environments import Hosts
from corral.alpaca.trade_updates import TradeUpdates, open_trade_updates
from corral.credentials import routes as credentials
from corral.credentials.keyring_check import open_vault
from corral.credentials.opening import CredentialReader
from corral.credentials.rechecking import rechecking
from corral.database.connection import Database
from corral.database.embedded import embedded_postgres
from corral.edge.edge import Edge
from corral.edge.problems import PROBLEM_RESPONSES
from corral.edge.resources import Resources
from corral.edge.translation import install_problem_handlers
from corral.health import routes as health
from corral.health.watch import Watch
from corral.identity import routes as identity
from corral.identity import session_routes
from corral.identity.current_user import Doorkeeper, session_cookie_name
from corral.live import routes as live_routes
from corral.live.asking import Road
from corral.live.opening import Live, open_live
from corral.people import routes as people
from corral.settings import Settings
from corral.web import routes as web
from corral.web.page_user import SignInRequired, redirect_to_sign_in
from corral.web.rendering import render_problem_page
from corral.web.view.sparklines import SPARKLINE_SECONDS


class State(TypedDict):
    """What every request can reach, as `request.state.…`."""

    resources: Resources
    doorkeeper: Doorkeeper
    session_cookie: str
    credential_reader: CredentialReader
    snapshots: Snapshots
    last_known: LastKnown
    lines: Snapshots
    live: Live
    watch: Watch
    sandbox: bool


@dataclass(frozen=True, slots=True)
class DatabaseAddresses:
    """The serving role's address, and the owner's, which nothing but migrations and the operator's commands use."""

    app: str
    owner: str | None


@asynccontextmanager
async def database_addresses(settings: Settings) -> AsyncGenerator[DatabaseAddresses]:
    """The configured PostgreSQL, or the embedded one, which runs as long as the block does."""
    if settings.database_url is not None:
        owner = settings.database_owner_url
        yield DatabaseAddresses(settings.database_url.get_secret_value(), owner.get_secret_value() if owner else None)
        return
    async with embedded_postgres(settings.data_dir) as embedded:
        yield DatabaseAddresses(embedded.dsn("corral_app"), embedded.dsn("corral_owner"))


@asynccontextmanager
async def open_state(settings: Settings, database_dsn: str, *, sandbox: bool = False) -> AsyncGenerator[State]:
    """Opens everything in the order in which it is needed, proves the database, and closes it in reverse."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.open(database_dsn))
        watch = Watch(database)
        await stack.enter_async_context(watch.kept())
        vault = await open_vault(database, settings.keyring_path)
        alpaca = await stack.enter_async_context(open_configured_alpaca(settings))
        doorkeeper, reader = Doorkeeper(database, vault), CredentialReader(database)
        stack.push_async_callback(doorkeeper.close)
        stack.push_async_callback(reader.close)
        every = settings.recheck_seconds
        await stack.enter_async_context(rechecking(database, vault, alpaca, every_seconds=every))
        snapshots, lines = Snapshots(settings.cache_seconds), Snapshots(SPARKLINE_SECONDS)
        last_known = LastKnown()
        stack.push_async_callback(snapshots.close)
        stack.push_async_callback(lines.close)
        trade_updates = await stack.enter_async_context(open_configured_trade_updates(settings))
        road = Road(vault, alpaca, trade_updates, snapshots, last_known, reader, settings.stream_poll_seconds)
        live = await stack.enter_async_context(open_live(database, road))
        yield State(
            resources=Resources(database, vault, alpaca, settings.browser_url),
            doorkeeper=doorkeeper,
            session_cookie=session_cookie_name(settings.browser_url),
            credential_reader=reader,
            snapshots=snapshots,
            last_known=last_known,
            lines=lines,
            live=live,
            watch=watch,
            sandbox=sandbox,
        )


def open_configured_alpaca(settings: Settings) -> AbstractAsyncContextManager[AlpacaClient]:
    """The road to the hosts that the settings name. Raises ValueError as `configured_hosts` does."""
    return open_alpaca(configured_hosts(settings), timeout_seconds=settings.upstream_timeout_seconds)


def open_configured_trade_updates(settings: Settings) -> AbstractAsyncContextManager[TradeUpdates]:
    return open_trade_updates(configured_hosts(settings), timeout_seconds=settings.upstream_timeout_seconds)


def configured_hosts(settings: Settings) -> Hosts:
    """Raises ValueError for an address that is none, and for two that must not go together."""
    proxy = settings.alpaca_proxy
    return Hosts.from_urls(
        paper=settings.alpaca_paper_url,
        live=settings.alpaca_live_url,
        data=settings.alpaca_data_url,
        proxy=proxy.get_secret_value() if proxy else None,
    )


def create_app(settings: Settings, state: State) -> Edge:
    """The whole application, to be served by `corral.edge.server.serve_http`."""
    return Edge(
        FastLane(create_api(state)),
        public_url=settings.browser_url,
        problem_page=partial(render_problem_page, sandbox=state["sandbox"]),
    )


def create_api(state: State | None = None) -> FastAPI:
    """The routes. Without state it only describes itself (`corral openapi`)."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[Mapping[str, object]]:
        yield dict(state or {})

    api = FastAPI(
        title="Corral (SANDBOX)" if state and state["sandbox"] else "Corral",
        summary="Stores Alpaca API keys encrypted and shows their accounts in real time.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=PROBLEM_RESPONSES,
    )
    for domain in (health, identity, session_routes, people, credentials, accounts, reads, live_routes, web):
        api.include_router(domain.router)
    install_problem_handlers(api)
    api.add_exception_handler(SignInRequired, redirect_to_sign_in)
    return api
