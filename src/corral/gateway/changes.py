"""Changes through the gateway: written down before they leave, sent once, and never called failed if they may be done.

Clients of Alpaca send again, by themselves, after 429, 502, 503 and 504, also an order. So a change whose outcome is
not known is answered with 500, and an order is looked for first: it has a `client_order_id`, the client's or ours.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Final, Never, final
from urllib.parse import quote
from uuid import uuid4

from corral.accounts.cache import AnswerCache
from corral.alpaca.calls import Keys
from corral.alpaca.client import AlpacaClient
from corral.alpaca.errors import AlpacaAuthError, WrongShape
from corral.alpaca.fields import read_object
from corral.alpaca.forwarding import AnswerBroken, Api, Forwarded, ForwardedAnswer, Forwarder, NotForwarded
from corral.alpaca.leaks import LeakDetector
from corral.audit.models import Action, Actor, ActorKind, NewEntry, Result
from corral.audit.trail import AuditTrail, Pending
from corral.errors import Problem
from corral.gateway.answers import Send, media_type, prepared_detector, read_whole, send_whole
from corral.gateway.bodies import Body, NewOrder, OrderChange, given_fields, with_client_order_id, written
from corral.gateway.fair_share import FairShares
from corral.gateway.problems import AccountKeysRefused, NotAuthorized, NothingSent, OutcomeUnknown
from corral.gateway.requests import GrantedRequest, refuse_refused_keys, type_of
from corral.grants.lookup import GrantReader, GrantSearch

ACTIONS: Final[Mapping[str, Action]] = {
    "POST /v2/orders": Action.ORDER_SUBMIT,
    "DELETE /v2/orders": Action.ORDERS_CANCEL,
    "PATCH /v2/orders/{order_id}": Action.ORDER_REPLACE,
    "DELETE /v2/orders/{order_id}": Action.ORDER_CANCEL,
    "DELETE /v2/positions": Action.POSITIONS_CLOSE,
    "DELETE /v2/positions/{symbol_or_asset_id}": Action.POSITION_CLOSE,
    "POST /v2/positions/{symbol_or_contract_id}/exercise": Action.OPTION_EXERCISE,
    "POST /v2/positions/{symbol_or_contract_id}/do-not-exercise": Action.OPTION_DO_NOT_EXERCISE,
    "POST /v2/watchlists": Action.WATCHLIST_CHANGE,
    "PUT /v2/watchlists/{watchlist_id}": Action.WATCHLIST_CHANGE,
    "POST /v2/watchlists/{watchlist_id}": Action.WATCHLIST_CHANGE,
    "DELETE /v2/watchlists/{watchlist_id}": Action.WATCHLIST_CHANGE,
    "DELETE /v2/watchlists/{watchlist_id}/{symbol}": Action.WATCHLIST_CHANGE,
    "PUT /v2/watchlists:by_name": Action.WATCHLIST_CHANGE,
    "POST /v2/watchlists:by_name": Action.WATCHLIST_CHANGE,
    "DELETE /v2/watchlists:by_name": Action.WATCHLIST_CHANGE,
}
"""How the audit trail calls each operation that changes something."""

_LARGEST_ANSWER_BYTES: Final = 8 * 1024 * 1024  # to closing 5,000 positions
_LOOK_AGAIN_SECONDS: Final = 0.5
_ID: Final = re.compile(r"[0-9a-fA-F-]{36}", re.ASCII)
_LONGEST_ORDER_BYTES: Final = 64 * 1024


class GrantNotConfirmed(Exception):  # noqa: N818 - named after the condition
    """The grant, or its account, is not any more as it was when the change was judged. Nothing was sent."""


@final
class _Whole:
    """Alpaca's whole answer to a change."""

    __slots__ = ("answer", "body", "retry_after")

    def __init__(self, answer: ForwardedAnswer, body: bytes, retry_after: int = 0) -> None:
        self.answer = answer
        self.body = body
        self.retry_after = retry_after


@final
class Changes:
    """Lives as long as the process."""

    def __init__(
        self,
        *,
        alpaca: AlpacaClient,
        forwarder: Forwarder,
        shares: FairShares,
        cache: AnswerCache,
        grants: GrantReader,
        audit: AuditTrail,
    ) -> None:
        self._budgets = alpaca.budgets
        self._forwarder = forwarder
        self._shares = shares
        self._cache = cache
        self._grants = grants
        self._audit = audit
        self._under_way: set[asyncio.Task[None]] = set()

    async def pass_on(self, asked: GrantedRequest, send: Send, search: GrantSearch | None = None) -> None:
        """Sends the change, whatever becomes of the client, and answers it.

        With `search`, it was judged by the grant that the search expected, and is sent only if that is confirmed:
        raises GrantNotConfirmed if it is not. Raises OutcomeUnknown if the change may have been done. After any other
        Problem it certainly was not.
        """
        asked = replace(asked, body=_with_id(asked.body))
        pending = self._audit.begin(asked.grant.user_id, _entry(asked))  # first, since its commit takes longest
        if search is not None:
            search.start()
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()
        task = loop.create_task(self._send_and_answer(asked, search, pending, send, answered))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            await answered
        except asyncio.CancelledError:
            raise _unknown(asked.body) from None

    async def close(self) -> None:
        """Waits for the answers to what was sent, each with its deadline, so that their outcomes are written down."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _send_and_answer(
        self, asked: GrantedRequest, search: GrantSearch | None, pending: Pending, send: Send,
        answered: "asyncio.Future[None]",
    ) -> None:  # fmt: skip
        """`answered` gets the Problem, if any. If it is cancelled, the client is not answered, but all the rest."""
        try:
            whole = await self._send_if_written(asked, search, pending)
            if not answered.done():
                headers = asked.headers(whole.answer.waited_seconds, retry_after=whole.retry_after)
                await send_whole(send, whole.answer.status, [*type_of(whole.answer), *headers], whole.body)
        except Exception as error:
            if not answered.done():
                answered.set_exception(error)
            elif not isinstance(error, Problem | GrantNotConfirmed):
                raise
        else:
            if not answered.done():
                answered.set_result(None)
        finally:
            answered.cancel()  # if this task is

    async def _send_if_written(self, asked: GrantedRequest, search: GrantSearch | None, pending: Pending) -> _Whole:
        """What can be done before the entry is written is done while the database writes it."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        body = None if asked.body is None else written(asked.body)
        try:
            if search is not None and not await search.confirms():
                await self._give_up(asked, pending)
            async with asked.credential.opened() as (api_key, secret_key):
                keys = Keys(api_key, secret_key)
                forwarded = asked.forwarded(keys, body)
                await pending.written()
                # A grant that was revoked while its order waited for the audit trail is revoked.
                if loop.time() - began > _LOOK_AGAIN_SECONDS and await self._grants.reload([asked.grant]) == [None]:
                    pending.conclude(Result.REFUSED, {"reason": "the grant was revoked"})
                    raise NotAuthorized
                return await self._send(asked, forwarded, pending)
        finally:
            self._cache.forget_account(asked.credential.budget_key)
            pending.conclude(Result.FAILED, {"reason": "nothing was sent"})  # unless something was

    async def _give_up(self, asked: GrantedRequest, pending: Pending) -> Never:
        self._shares.give_back(asked.budget_key, asked.grant.id)
        await pending.written()
        pending.conclude(Result.REFUSED, {"reason": "the grant has ended, or it or its account was changed"})
        raise GrantNotConfirmed

    async def _send(self, asked: GrantedRequest, forwarded: Forwarded, pending: Pending) -> _Whole:
        try:
            return await self._outcome(asked, forwarded, pending)
        finally:
            pending.conclude(Result.UNKNOWN)  # unless its outcome is known

    async def _outcome(self, asked: GrantedRequest, forwarded: Forwarded, pending: Pending) -> _Whole:
        keys = forwarded.keys
        detector = prepared_detector(keys)
        try:
            async with self._forwarder.forward(forwarded) as answer:
                asked.note(answer)
                self._budgets.update(asked.budget_key, answer.headers)
                content = None if _is_unclear(answer) else await _whole_body(answer, detector)
                order_id = None if content is None else _id_in(content)
                if order_id is None and _has_to_name_its_order(asked.body, answer.status):
                    content = None
        except NotForwarded as failed:
            asked.log_failure(failed)
            if not failed.is_sent:
                self._raise_not_sent(asked, failed, pending)
            return await self._look_for(asked, keys, pending)
        if content is None:
            return await self._look_for(asked, keys, pending)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            return self._refused(asked, answer, content, pending)
        pending.conclude(Result.DONE, {"status": str(answer.status)}, object_id=order_id)
        return _Whole(answer, content)

    def _refused(self, asked: GrantedRequest, answer: ForwardedAnswer, body: bytes, pending: Pending) -> _Whole:
        pending.conclude(Result.REFUSED, {"status": str(answer.status)})
        refuse_refused_keys(answer, body, asked.credential)
        is_limited = answer.status == HTTPStatus.TOO_MANY_REQUESTS
        return _Whole(answer, body, self._budgets.hold(asked.budget_key, answer.headers) if is_limited else 0)

    def _raise_not_sent(self, asked: GrantedRequest, failed: NotForwarded, pending: Pending) -> Never:
        self._shares.give_back(asked.budget_key, asked.grant.id)
        pending.conclude(Result.FAILED, {"reason": "Alpaca could not be reached, and nothing was sent"})
        if isinstance(failed.reason, AlpacaAuthError):
            raise AccountKeysRefused from None
        raise NothingSent(retry_after=1) from None

    async def _look_for(self, asked: GrantedRequest, keys: Keys, pending: Pending) -> _Whole:
        """Asks once for the order whose outcome is unknown. Raises OutcomeUnknown if it does not find it."""
        order_id = _client_order_id(asked.body)
        found = await self._find_order(asked, keys, order_id) if order_id else None
        if found is None:
            pending.conclude(Result.UNKNOWN)
            raise _unknown(asked.body)
        pending.conclude(Result.DONE, {"found_by": "client_order_id"}, object_id=_id_in(found.body))
        return found

    async def _find_order(self, asked: GrantedRequest, keys: Keys, client_order_id: str) -> _Whole | None:
        target = f"/v2/orders:by_client_order_id?client_order_id={quote(client_order_id, safe='')}"
        request = Forwarded(asked.credential.environment, Api.TRADING, "GET", target, keys)
        try:
            async with self._forwarder.forward(request) as answer:
                self._budgets.update(asked.budget_key, answer.headers)
                body = await _whole_body(answer, LeakDetector(*keys))
        except NotForwarded:
            return None
        if answer.status != HTTPStatus.OK or body is None:
            return None
        found = _id_in(body)
        # The order that was to be replaced may have the id, too: it says nothing about the one in its place.
        is_another = found is not None and found != asked.match.parameters.get("order_id")
        return _Whole(answer, body) if is_another else None


async def _whole_body(answer: ForwardedAnswer, detector: LeakDetector) -> bytes | None:
    """Returns None for a body that broke off, is too long or has a key in it."""
    try:
        return await read_whole(answer, detector, most=_LARGEST_ANSWER_BYTES)
    except AnswerBroken:
        return None


def _is_unclear(answer: ForwardedAnswer) -> bool:
    """Whether the status does not tell if the change was done: only Alpaca's own yes and no do."""
    is_told = 200 <= answer.status < 300 or 400 <= answer.status < 500  # noqa: PLR2004 - classes of statuses
    if not is_told or answer.status == HTTPStatus.REQUEST_TIMEOUT:
        return True
    if answer.status == HTTPStatus.NO_CONTENT:
        return False
    is_delimited = "Content-Length" in answer.headers or "Transfer-Encoding" in answer.headers  # else a cut is its end
    return (
        not is_delimited
        or answer.headers.get("Content-Encoding", "identity") != "identity"
        or media_type(answer.headers) is None
    )


def _has_to_name_its_order(sent: Body | None, status: int) -> bool:
    """Whether this is a yes to an order, which says nothing if it does not say which order it is."""
    return isinstance(sent, NewOrder | OrderChange) and status < HTTPStatus.BAD_REQUEST


def _with_id(body: Body | None) -> Body | None:
    order_id = f"corral-{uuid4()}"
    if isinstance(body, NewOrder):
        return with_client_order_id(body, order_id)
    return with_client_order_id(body, order_id) if isinstance(body, OrderChange) else body


def _client_order_id(body: Body | None) -> str | None:
    return body.client_order_id if isinstance(body, NewOrder | OrderChange) else None


def _unknown(body: Body | None) -> OutcomeUnknown:
    order_id = _client_order_id(body)
    return OutcomeUnknown(
        f"Outcome unknown: look for client_order_id {order_id} before you send it again." if order_id else None
    )


def _entry(asked: GrantedRequest) -> NewEntry:
    parameters, body = asked.match.parameters, asked.body
    given = {} if body is None else given_fields(body)
    details = {name: value for name, value in given.items() if isinstance(value, str)}
    return NewEntry(
        actor=Actor(ActorKind.GRANT, asked.grant.id),
        action=ACTIONS[asked.match.operation.name],
        credential_id=asked.grant.credential_id,
        grant_id=asked.grant.id,
        object_id=next(iter(parameters.values()), None),
        details={**details, **dict(asked.match.query)},
        address=asked.address,
    )


def _id_in(body: bytes) -> str | None:
    """The order's id, if the body is an order."""
    if len(body) > _LONGEST_ORDER_BYTES:
        return None
    try:
        order_id = read_object(body).get("id")
    except WrongShape:
        return None
    return order_id if isinstance(order_id, str) and _ID.fullmatch(order_id) else None
