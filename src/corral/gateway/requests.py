"""A request that its grant allows, and what Corral adds to Alpaca's answer to it."""

from collections.abc import Hashable
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import final

from corral.alpaca.calls import Keys, RawAnswer
from corral.alpaca.client import refusal_of
from corral.alpaca.errors import AlpacaAuthError
from corral.alpaca.forwarding import Api, Forwarded, ForwardedAnswer, NotForwarded
from corral.credentials.reader import OpenCredential
from corral.edge.problems import Headers
from corral.gateway.answers import media_type
from corral.gateway.bodies import Body
from corral.gateway.fair_share import FairShares, Share
from corral.gateway.operations import Host, OperationKind
from corral.gateway.problems import AccountKeysRefused, ShareSpent
from corral.gateway.targets import Match
from corral.grants.models import Grant
from corral.logs import added_to_request_line, get_logger

_APIS = {Host.TRADING: Api.TRADING, Host.DATA: Api.DATA}

_log = get_logger()


@final
@dataclass(frozen=True, slots=True)
class GrantedRequest:
    """`address` is the client's, "" if it is unknown. `share` is the grant's part of this minute's requests."""

    grant: Grant
    credential: OpenCredential
    match: Match
    body: Body | None
    address: str
    share: Share
    started: float  # perf_counter

    @property
    def budget_key(self) -> Hashable:
        return budget_key(self.credential, self.match)

    def forwarded(self, keys: Keys, body: bytes | None = None) -> Forwarded:
        operation = self.match.operation
        environment = self.credential.environment
        api, target = _APIS[operation.host], self.match.target
        return Forwarded(environment, api, operation.method, target, keys, body, is_endless=operation.is_event_stream)

    def headers(self, waited_seconds: float, *, retry_after: int = 0) -> Headers:
        """Corral's own: the grant's part of the requests, and how long Corral took, without the wait for Alpaca."""
        overhead = max(perf_counter() - self.started - waited_seconds, 0.0)
        return [
            *share_headers(self.share),
            *([(b"retry-after", b"%d" % retry_after)] if retry_after else []),
            (b"x-corral-overhead-ms", b"%.3f" % (overhead * 1000)),
        ]

    def note(self, answer: ForwardedAnswer) -> None:
        """Adds the call to the request's line in the log."""
        added_to_request_line(
            environment=self.credential.environment.value,
            alpaca_ms=round(answer.waited_seconds * 1000, 1),
            grant_id=str(self.grant.id),
        )

    def log_failure(self, failed: NotForwarded) -> None:
        _log.info(
            "alpaca_failed",
            environment=self.credential.environment.value,
            path=self.match.operation.path,
            failure=type(failed.reason).__name__,
            is_sent=failed.is_sent,
            grant_id=str(self.grant.id),
        )


def budget_key(credential: OpenCredential, match: Match) -> Hashable:
    """Alpaca counts the requests to its two APIs apart."""
    return credential.budget_key if match.operation.host is Host.TRADING else ("data", credential.budget_key)


async def take_share(shares: FairShares, grant: Grant, credential: OpenCredential, match: Match) -> Share:
    """Counts the request. Raises ShareSpent with the seconds until one would pass."""
    is_closing = match.operation.kind is OperationKind.CLOSE
    share = await shares.take(budget_key(credential, match), grant.id, is_closing=is_closing)
    if share.retry_after:
        raise ShareSpent(retry_after=share.retry_after, headers=share_headers(share))
    return share


def share_headers(share: Share) -> Headers:
    return [
        (b"x-ratelimit-limit", b"%d" % share.limit),
        (b"x-ratelimit-remaining", b"%d" % share.remaining),
        (b"x-ratelimit-reset", b"%d" % share.resets_at),
    ]


def type_of(answer: ForwardedAnswer) -> Headers:
    kind = media_type(answer.headers)
    return [] if answer.status == HTTPStatus.NO_CONTENT or kind is None else [(b"content-type", kind)]


def refuse_refused_keys(answer: ForwardedAnswer, body: bytes, credential: OpenCredential) -> None:
    """Raises KeysRefused if Alpaca does not accept the account's keys, and has them checked."""
    if answer.status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return
    raw = RawAnswer(answer.status, answer.headers, body, answer.answered_at, None)
    if isinstance(refusal_of(raw), AlpacaAuthError):
        credential.suspect()
        raise AccountKeysRefused
