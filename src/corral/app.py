"""The composition root: the objects that live as long as the process, and the application that uses them."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypedDict

from fastapi import FastAPI

from corral import __version__
from corral.accounts import routes as account_routes
from corral.accounts.cache import LastKnownAccounts, open_answer_cache
from corral.accounts.combined import routes as all_accounts_routes
from corral.accounts.reader import AccountReader
from corral.accounts.routes import FastLane
from corral.alpaca.client import open_alpaca
from corral.alpaca.environments import configured_hosts
from corral.alpaca.forwarding import open_forwarder
from corral.alpaca.trade_updates import open_trade_updates
from corral.audit import routes as audit_routes
from corral.audit.heads import HEADS_FILE
from corral.audit.trail import AuditTrail
from corral.audit.upkeep import open_audit_trail
from corral.credentials import routes as credential_routes
from corral.credentials.reader import CredentialReader
from corral.credentials.rechecking import rechecking
from corral.database.connection import USUAL_CONNECTIONS
from corral.edge.error_handlers import install_problem_handlers
from corral.edge.middleware import ASGIApp, ByAddress, Edge
from corral.edge.problems import PROBLEM_RESPONSES
from corral.edge.request_state import Resources
from corral.gateway.app import PREFIX as GATEWAY_PREFIX
from corral.gateway.app import Gateway, gateway_edge, open_gateway
from corral.grants import routes as grant_routes
from corral.grants.lookup import GrantReader
from corral.health import routes as health
from corral.health.readiness import ReadinessMonitor
from corral.identity import routes as identity
from corral.identity.access_watch import AccessWatch
from corral.identity.session_cookie import session_cookie_name
from corral.identity.tokens import Authenticator
from corral.people import routes as people
from corral.settings import Settings
from corral.storage import open_shared, open_storage
from corral.stream import routes as stream_routes
from corral.stream.lifespan import StreamService, open_stream_service
from corral.stream.sharing import open_sharing
from corral.web import routes as web
from corral.web.display import display_cookie_name, read_display
from corral.web.page_user import SignInRequired, redirect_to_sign_in, unknown_page
from corral.web.rendering import render_problem_page

if TYPE_CHECKING:
    from corral.valkey.client import Valkey


class State(TypedDict):
    """The objects available to every request, each by the StateKey of its name."""

    resources: Resources
    authenticator: Authenticator
    audit: AuditTrail
    credentials: CredentialReader
    grants: GrantReader
    accounts: AccountReader
    gateway: Gateway
    stream: StreamService
    readiness: ReadinessMonitor
    valkey: "Valkey | None"
    sandbox: bool


@asynccontextmanager
async def open_state(
    settings: Settings, database_dsn: str, *, sandbox: bool = False, connections: int = USUAL_CONNECTIONS
) -> AsyncGenerator[State]:
    """Opens everything in order of dependency, checks the database, and closes everything in reverse.

    `connections` is how many to the database there may be at a time.
    """
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(open_storage(settings, database_dsn, connections=connections))
        database, vault = storage.database, storage.vault
        audit = await stack.enter_async_context(open_audit_trail(database, vault, settings.data_dir / HEADS_FILE))
        hosts, timeout = configured_hosts(settings), settings.upstream_timeout_seconds
        valkey = await stack.enter_async_context(open_shared(settings, vault))
        alpaca = await stack.enter_async_context(open_alpaca(hosts, timeout_seconds=timeout, valkey=valkey))
        authenticator = Authenticator(database, vault, cookie_name=session_cookie_name(settings.browser_url))
        stack.push_async_callback(authenticator.close)
        credentials = CredentialReader(database, vault, alpaca)
        stack.push_async_callback(credentials.close)
        grants = GrantReader(database, vault)
        stack.push_async_callback(grants.close)
        await stack.enter_async_context(rechecking(database, credentials, every_seconds=settings.recheck_seconds))
        cache = await stack.enter_async_context(open_answer_cache(settings.cache_seconds, alpaca.answers))
        accounts = AccountReader(credentials, alpaca, cache, LastKnownAccounts())
        trade_updates = await stack.enter_async_context(open_trade_updates(hosts, timeout_seconds=timeout))
        watch = AccessWatch(database)
        await stack.enter_async_context(watch.running())
        sharing = None if valkey is None else await stack.enter_async_context(open_sharing(valkey))
        stream = await stack.enter_async_context(
            open_stream_service(
                database,
                credentials,
                accounts,
                trade_updates,
                watch,
                interval_seconds=settings.stream_poll_seconds,
                sharing=sharing,
            )
        )
        gateway = await stack.enter_async_context(
            open_gateway(
                alpaca=alpaca,
                forwarder=await stack.enter_async_context(open_forwarder(hosts, timeout_seconds=timeout)),
                cache=cache,
                credentials=credentials,
                grants=grants,
                audit=audit,
                feeds=stream.feeds,
                watch=watch,
                trusted_proxies=settings.trusted_networks,
            )
        )
        yield State(
            resources=Resources(database, vault, alpaca, settings.browser_url, settings.gateway_url),
            authenticator=authenticator,
            audit=audit,
            credentials=credentials,
            grants=grants,
            accounts=accounts,
            gateway=gateway,
            stream=stream,
            readiness=storage.readiness,
            valkey=valkey,
            sandbox=sandbox,
        )


def create_app(settings: Settings, state: State) -> ASGIApp:
    """The whole application, to be served by `corral.edge.server.serve_http`."""
    edge = Edge(
        FastLane(create_api(state), state["authenticator"], state["credentials"], state["accounts"]),
        public_url=settings.browser_url,
        problem_page=partial(
            render_problem_page,
            sandbox=state["sandbox"],
            session_cookie=session_cookie_name(settings.browser_url),
        ),
        prepare_page=partial(read_display, cookie_name=display_cookie_name(settings.browser_url)),
        trusted_proxies=settings.trusted_networks,
    )
    gateway = gateway_edge(state["gateway"], public_url=settings.browser_url)
    return ByAddress(gateway, edge, prefix=GATEWAY_PREFIX, gateway_url=settings.gateway_url)


def create_api(state: State | None = None) -> FastAPI:
    """The routes. Without state, the application can only return its OpenAPI document (`corral openapi`)."""

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
    accounts = (account_routes, all_accounts_routes)
    for domain in (
        health,
        identity,
        people,
        audit_routes,
        credential_routes,
        grant_routes,
        *accounts,
        stream_routes,
        web,
    ):
        api.include_router(domain.router)
    install_problem_handlers(api)
    api.add_exception_handler(SignInRequired, redirect_to_sign_in)
    api.router.default = unknown_page
    return api
