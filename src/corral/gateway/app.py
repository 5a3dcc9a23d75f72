"""The gateway: Alpaca's API for programs that have a grant, under `/alpaca` and at an origin of its own.

No cookie, no page and no call of Corral's API is known here, and nothing of the request is passed on but what was read
and judged: operation, parameters and body are written anew, headers are Corral's own.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Final, Self, final

from corral.accounts.cache import AnswerCache
from corral.alpaca.client import AlpacaClient
from corral.alpaca.forwarding import Forwarder
from corral.audit.models import Action, Actor, ActorKind
from corral.audit.trail import AuditTrail
from corral.credentials.problems import CredentialInactive, CredentialRefused
from corral.credentials.reader import FORWARD, CredentialReader, OpenCredential
from corral.edge.client_address import client_address
from corral.edge.middleware import Edge, Receive, Scope, Send, admit_framing
from corral.edge.websocket import wants_websocket
from corral.errors import BodyTooLarge, MalformedRequest, MethodNotAllowed, Problem
from corral.gateway.access import check_access
from corral.gateway.bodies import MOST_BODY_BYTES, read_body
from corral.gateway.changes import Changes, GrantNotConfirmed
from corral.gateway.credentials import presented
from corral.gateway.fair_share import FairShares
from corral.gateway.operations import Host, OperationKind
from corral.gateway.problems import (
    AccountKeysRefused,
    AccountPaused,
    NotAuthorized,
    NotGranted,
    problem_of,
    render_as_alpaca,
)
from corral.gateway.reads import Reads
from corral.gateway.refusals import Refused
from corral.gateway.requests import GrantedRequest, take_share
from corral.gateway.targets import Match, match
from corral.gateway.trade_stream import TradeStreams, open_trade_streams
from corral.grants.lookup import GrantReader, GrantSearch
from corral.grants.models import Grant
from corral.identity.access_watch import AccessWatch
from corral.settings import Network
from corral.stream.feed import Feeds

PREFIX: Final = b"/alpaca/"
_DATA_PREFIX: Final = b"/alpaca/data/"
_STREAMS: Final = frozenset({b"/stream", b"/stream/"})
_OWN_STREAMS: Final = _STREAMS | {b"", b"/"}  # at the origin of its own
_WITHOUT_ANSWER: Final = frozenset({"HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Address:
    """What was asked for, without our prefix. `hosts` are those of Alpaca's that have their operations here."""

    target: bytes
    hosts: frozenset[Host]

    @property
    def is_trade_stream(self) -> bool:
        """Whether a request to change the protocol is one for Alpaca's trading socket."""
        path = self.target.partition(b"?")[0]
        return Host.TRADING in self.hosts and path in (_STREAMS if Host.DATA not in self.hosts else _OWN_STREAMS)

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """At the origin of its own, the gateway has no prefix, and the operations of both hosts."""
        path, query = scope["raw_path"], scope["query_string"]
        if scope["corral.is_gateway_origin"]:
            hosts = frozenset({Host.TRADING, Host.DATA})
        elif path.startswith(_DATA_PREFIX):
            path, hosts = path[len(_DATA_PREFIX) - 1 :], frozenset({Host.DATA})
        else:
            path, hosts = path[len(PREFIX) - 1 :], frozenset({Host.TRADING})
        return cls(b"%b?%b" % (path, query) if query else path, hosts)


@final
class ProgramRequest:
    """What a program asks. `address` is the client's, "" if it is unknown; `started` is by `perf_counter`."""

    __slots__ = ("_content", "_problem", "_receive", "address", "asked_for", "scope", "started")

    def __init__(self, scope: Scope, receive: Receive, asked_for: Address, address: str, started: float) -> None:
        self.scope = scope
        self.asked_for = asked_for
        self.address = address
        self.started = started
        self._receive = receive
        self._content: bytes | None = None
        self._problem: Problem | None = None

    async def content(self) -> bytes:
        """Returns the whole body, each time the same. Raises MalformedRequest and BodyTooLarge, each time the same."""
        if self._problem is not None:
            raise self._problem
        if self._content is None:
            try:
                self._content = await _whole_body(self._receive) if self.scope["corral.has_body"] else b""
            except Problem as problem:
                self._problem = problem
                raise
        return self._content


@final
class Gateway:
    """Serves one request: who asks, for what, may they, and then on to Alpaca."""

    def __init__(
        self,
        *,
        grants: GrantReader,
        credentials: CredentialReader,
        shares: FairShares,
        reads: Reads,
        changes: Changes,
        audit: AuditTrail,
        trusted_proxies: Sequence[Network],
        streams: TradeStreams,
    ) -> None:
        self._grants = grants
        self._credentials = credentials
        self._shares = shares
        self._reads = reads
        self._changes = changes
        self._audit = audit
        self._trusted_proxies = trusted_proxies
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        asked_for = Address.of(scope)
        if wants_websocket(scope) and asked_for.is_trade_stream:
            scope["route"] = _Logged("/alpaca/stream")
            self._streams.accept(scope)
            scope["corral.status"] = HTTPStatus.SWITCHING_PROTOCOLS.value
            return
        if scope["method"] in _WITHOUT_ANSWER:
            raise MethodNotAllowed("Programs use this address with GET, POST, PUT, PATCH and DELETE.", allow=())
        address = client_address(scope, self._trusted_proxies)
        shown = presented(scope["headers"])
        search = self._grants.search(shown.key_id, shown.secret_key.reveal(), address=address)
        request = ProgramRequest(scope, receive, asked_for, "" if address is None else str(address), started)
        if scope["method"] != "GET" and await self._change_as_expected(request, search, send):
            return
        grant = await search.found()
        if grant is None:
            raise NotAuthorized
        scope["state"]["user_id"] = grant.user_id  # for the request's log line
        try:
            asked = await self._allowed(request, grant)
        except Problem as problem:
            self._count_refusal(grant, problem, request.address)
            overhead = b"%.3f" % ((perf_counter() - started) * 1000)
            problem.extra["headers"] = [*problem.extra.get("headers", ()), (b"x-corral-overhead-ms", overhead)]  # pyright: ignore[reportGeneralTypeIssues]
            raise
        if asked.match.operation.kind is not OperationKind.READ:
            await self._changes.pass_on(asked, send)
        elif asked.match.operation.is_event_stream:
            self._count_read(asked)
            await self._streams.pass_events_on(asked, address, scope, receive, send)
        else:
            try:
                await self._reads.pass_on(asked, send)
            finally:
                self._count_read(asked)

    async def _change_as_expected(self, request: ProgramRequest, search: GrantSearch, send: Send) -> bool:
        """Judges and writes down a change by the grant as it was, while the database is asked how it is.

        Returns False, and has sent nothing, if it is another one now, or if this one would not allow the change: then
        the grant as it is decides.
        """
        grant = search.expected
        if grant is None:
            return False
        try:
            asked = await self._allowed(request, grant)
        except Problem:
            return False
        request.scope["state"]["user_id"] = grant.user_id
        try:
            await self._changes.pass_on(asked, send, search)
        except GrantNotConfirmed:
            return False
        return True

    async def _allowed(self, request: ProgramRequest, grant: Grant) -> GrantedRequest:
        """Raises the Problem of a request that the grant does not allow, that cannot be read, or has to wait."""
        try:
            matched = _matched(request)
            check_access(grant.access, matched.operation)
            credential = self._open(grant)
            body = read_body(matched.operation, await request.content())
        except Refused as refused:
            raise problem_of(refused) from None
        share = await take_share(self._shares, grant, credential, matched)
        return GrantedRequest(grant, credential, matched, body, request.address, share, request.started)

    def _open(self, grant: Grant) -> OpenCredential:
        try:
            return self._credentials.open_row(grant.stored, FORWARD)
        except CredentialInactive:
            raise AccountPaused from None
        except CredentialRefused:
            raise AccountKeysRefused from None

    def _count_read(self, asked: GrantedRequest) -> None:
        grant, operation = asked.grant, asked.match.operation
        self._audit.count_read(grant.user_id, grant.id, grant.credential_id, operation.name, address=asked.address)

    def _count_refusal(self, grant: Grant, problem: Problem, address: str) -> None:
        self._audit.count_refusal(
            grant.user_id,
            Action.GRANT_REFUSED,
            Actor(ActorKind.GRANT, grant.id),
            problem.code,
            credential_id=grant.credential_id,
            grant_id=grant.id,
            address=address,
        )


def _matched(request: ProgramRequest) -> Match:
    matched = match(request.scope["method"], request.asked_for.target)
    if matched.operation.host not in request.asked_for.hosts:
        raise _elsewhere(matched)
    request.scope["route"] = _Logged(f"/alpaca{matched.operation.path}")
    return matched


def _elsewhere(matched: Match) -> NotGranted:
    where = "data_url" if matched.operation.host is Host.DATA else "base_url"
    return NotGranted(f"This operation is at the grant's {where}.")


@dataclass(frozen=True, slots=True)
class _Logged:
    """The path in the log: without ids."""

    path: str


async def _whole_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise MalformedRequest("The request ended before its body did.")
        body += message.get("body", b"")
        if len(body) > MOST_BODY_BYTES:
            raise BodyTooLarge
        if not message.get("more_body", False):
            return bytes(body)


def admit_program(scope: Scope) -> bool:
    """Returns whether a body follows. Raises MalformedRequest and BodyTooLarge."""
    headers = dict(scope["headers"])
    has_body = admit_framing(scope, headers, max_body_bytes=MOST_BODY_BYTES)
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise MalformedRequest("Send the body without a content encoding.")
    scope["corral.has_body"] = has_body
    return has_body


@asynccontextmanager
async def open_gateway(
    *,
    alpaca: AlpacaClient,
    forwarder: Forwarder,
    cache: AnswerCache,
    credentials: CredentialReader,
    grants: GrantReader,
    audit: AuditTrail,
    feeds: Feeds,
    watch: AccessWatch,
    trusted_proxies: Sequence[Network],
) -> AsyncGenerator[Gateway]:
    """At the end it waits for the answers to changes that were sent."""
    shares = FairShares(alpaca.budgets)
    changes = Changes(alpaca=alpaca, forwarder=forwarder, shares=shares, cache=cache, grants=grants, audit=audit)
    reads = Reads(alpaca, forwarder, shares)
    opened = open_trade_streams(
        feeds=feeds,
        credentials=credentials,
        grants=grants,
        audit=audit,
        watch=watch,
        trusted_proxies=trusted_proxies,
        reads=reads,
    )
    async with opened as streams:
        try:
            yield Gateway(
                grants=grants,
                credentials=credentials,
                shares=shares,
                reads=reads,
                changes=changes,
                audit=audit,
                trusted_proxies=trusted_proxies,
                streams=streams,
            )
        finally:
            await changes.close()


def gateway_edge(gateway: Gateway, *, public_url: str) -> Edge:
    return Edge(
        gateway, public_url=public_url, max_body_bytes=MOST_BODY_BYTES, admit=admit_program, render=render_as_alpaca
    )
