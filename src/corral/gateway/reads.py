"""Reads through the gateway: always asked of Alpaca anew, and passed on as the answer arrives."""

from http import HTTPStatus
from typing import Final, Never, final

from corral.alpaca.calls import Keys
from corral.alpaca.client import AlpacaClient
from corral.alpaca.errors import AlpacaAuthError, ConnectionDropped, DeadlineExceeded, Unreachable
from corral.alpaca.forwarding import AnswerBroken, ForwardedAnswer, Forwarder, NotForwarded
from corral.alpaca.leaks import LeakDetector
from corral.gateway.answers import (
    MOST_HELD_BYTES,
    Send,
    pass_events_on,
    pass_on,
    prepared_detector,
    read_whole,
    refuse_unusable,
    send_whole,
)
from corral.gateway.fair_share import FairShares
from corral.gateway.problems import AccountKeysRefused, AnswerLate, AnswerUnusable, NothingSent
from corral.gateway.requests import GrantedRequest, refuse_refused_keys, type_of

_MAY_BE_ABOUT_KEYS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@final
class Reads:
    """Lives as long as the process."""

    def __init__(self, alpaca: AlpacaClient, forwarder: Forwarder, shares: FairShares) -> None:
        self._budgets = alpaca.budgets
        self._forwarder = forwarder
        self._shares = shares

    async def pass_on(self, asked: GrantedRequest, send: Send) -> None:
        """Raises a Problem if nothing has been sent to the client yet, and AnswerCut if something has.

        The request is sent again only if its connection turns out to have been closed.
        """
        async with asked.credential.opened() as (api_key, secret_key):
            keys = Keys(api_key, secret_key)
            try:
                await self._ask_again_if_dropped(asked, keys, send)
            except NotForwarded as failed:
                self._raise_problem(asked, failed)

    async def _ask_again_if_dropped(self, asked: GrantedRequest, keys: Keys, send: Send) -> None:
        try:
            await self._ask(asked, keys, send)
        except NotForwarded as failed:
            if not isinstance(failed.reason, ConnectionDropped):
                raise
            await self._ask(asked, keys, send)

    async def _ask(self, asked: GrantedRequest, keys: Keys, send: Send) -> None:
        detector = prepared_detector(keys)
        async with self._forwarder.forward(asked.forwarded(keys)) as answer:
            try:
                await self._pass_answer_on(asked, answer, detector, send)
            finally:
                asked.note(answer)

    async def _pass_answer_on(
        self, asked: GrantedRequest, answer: ForwardedAnswer, detector: LeakDetector, send: Send
    ) -> None:
        self._budgets.update(asked.budget_key, answer.headers)
        if answer.status in _MAY_BE_ABOUT_KEYS:
            await _pass_refusal_on(asked, answer, detector, send)
            return
        wait = 0
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            wait = self._budgets.hold(asked.budget_key, answer.headers)
        if asked.match.operation.is_event_stream and answer.status == HTTPStatus.OK:
            asked.note(answer)  # how long Alpaca took to begin, and not the stream
            await pass_events_on(answer, detector, send, asked.headers(answer.waited_seconds))
        else:
            await pass_on(answer, detector, send, lambda: asked.headers(answer.waited_seconds, retry_after=wait))

    def _raise_problem(self, asked: GrantedRequest, failed: NotForwarded) -> Never:
        asked.log_failure(failed)
        if not failed.is_sent:
            self._shares.give_back(asked.budget_key, asked.grant.id)
        if isinstance(failed.reason, AlpacaAuthError):
            raise AccountKeysRefused from None
        if isinstance(failed.reason, DeadlineExceeded):
            raise AnswerLate from None
        if isinstance(failed.reason, Unreachable):
            raise NothingSent(retry_after=1) from None
        raise AnswerUnusable from None


async def _pass_refusal_on(asked: GrantedRequest, answer: ForwardedAnswer, detector: LeakDetector, send: Send) -> None:
    refuse_unusable(answer)
    try:
        body = await read_whole(answer, detector, most=MOST_HELD_BYTES)
    except AnswerBroken:
        body = None
    if body is None:
        raise AnswerUnusable
    refuse_refused_keys(answer, body, asked.credential)
    await send_whole(send, answer.status, [*type_of(answer), *asked.headers(answer.waited_seconds)], body)
