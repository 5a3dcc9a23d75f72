"""The audit trail as a page: in plain words, with what did not work out marked."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientSession

from corral.audit.models import Action, Actor, ActorKind, AuditEntry, NewEntry, Result
from corral.audit.reading import Deed
from corral.web.display import MASK
from corral.web.view.audit import GROUP_CHOICES, PresentNames, TrailParams, describe_deed, describe_order
from corral_sandbox import Sandbox
from tests.conftest import Service
from tests.gateway.conftest import LIMIT_ORDER, key_headers
from tests.people import Person, paper_key
from tests.web.displaying import HIDING, displaying
from tests.web.parsed_html import Parsed, read_page

_GRANT, _ACCOUNT = uuid4(), uuid4()
_NAMES = PresentNames({_ACCOUNT: "Growth"}, {_GRANT: "My bot"}, {})


def _entry(action: str, result: str = "done", **fields: object) -> AuditEntry:
    usual: dict[str, object] = {
        "user_id": uuid4(),
        "seq": 1,
        "at": datetime(2026, 11, 24, 15, tzinfo=UTC),
        "actor": f"grant:{_GRANT}",
        "credential_id": _ACCOUNT,
        "grant_id": _GRANT,
        "object_id": None,
        "details": {},
        "address": "",
        "concludes": None,
    }
    return AuditEntry(action=action, result=result, **{**usual, **fields})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("action", "result", "fields", "words"),
    [
        (
            *("order.submit", "done"),
            {"details": {"side": "buy", "qty": "1", "symbol": "AAPL", "type": "limit", "limit_price": "10.00"}},
            "Order submitted by grant My bot: buy 1 AAPL, limit 10.00 — done",
        ),
        (
            *("order.submit", "refused"),
            {"details": {"side": "sell", "notional": "50", "symbol": "AAPL", "type": "market"}},
            "Order by grant My bot: sell $50 of AAPL, market — refused",
        ),
        (
            *("order.submit", "unknown"),
            {"details": {"order_class": "mleg", "type": "limit", "limit_price": "-1.25"}},
            "Order by grant My bot: several legs, limit -1.25 — outcome unknown",
        ),
        (
            *("position.close", "done"),
            {"object_id": "NVDA", "details": {"percentage": "50"}},
            "Position closed by grant My bot: 50% of NVDA — done",
        ),
        ("orders.cancel", "failed", {}, "Canceling all orders by grant My bot — failed"),
        ("orders.cancel", "begun", {}, "Canceling all orders by grant My bot — no answer yet"),
        (
            *("grant.read", "done"),
            {"details": {"purpose": "GET /v2/positions", "count": "12"}},
            "Read by grant My bot: positions, 12 times — done",
        ),
        (
            *("credential.renamed", "done"),
            {"actor": "session:x", "details": {"before": "A", "name": "B"}},
            "Account renamed by you: “A” is now “B” — done",
        ),
        (
            *("grant.made", "done"),
            {"actor": f"token:{UUID(int=1)}", "details": {"name": "My bot"}},
            "Grant created with API token 00000000… (revoked): My bot — done",
        ),
        ("sign_in.refused", "refused", {"actor": "anyone"}, "Sign-in by someone not signed in: once — refused"),
        (
            "moon.landed",
            "celebrated",
            {"actor": "captain"},
            "moon.landed by captain — celebrated",
        ),  # of a later release
    ],
)
def test_an_entry_is_told_in_plain_words(action: str, result: str, fields: dict[str, object], words: str) -> None:
    row = describe_deed(Deed(_entry(action, result, **fields)), _NAMES)
    assert f"{row.title} {row.text} — {row.result}" == words
    assert row.stands_out == (result != "done")


def test_hidden_amounts_are_hidden_in_orders_too() -> None:
    order = {"side": "buy", "qty": "753", "symbol": "AAPL", "type": "limit", "limit_price": "10.00"}
    with displaying(HIDING):
        for details, words in [
            (order, f"buy {MASK} AAPL, limit 10.00"),
            ({"side": "buy", "notional": "753", "symbol": "AAPL", "type": "market"}, f"buy ${MASK} of AAPL, market"),
        ]:
            assert describe_order(details) == words


def test_every_action_has_words_and_belongs_to_a_group() -> None:
    grouped = {action for group in GROUP_CHOICES if group for action in TrailParams(group=group).filters.actions or ()}
    assert grouped == set(Action)
    assert [one for one in Action if describe_deed(Deed(_entry(one)), _NAMES).title == one] == []


async def test_an_order_through_a_grant_is_one_entry_that_says_how_it_ended(
    service: Service, sandbox: Sandbox, alice: Person, alices: ClientSession, bobs: ClientSession
) -> None:
    key_id = paper_key()
    async with ClientSession(sandbox.url) as control, control.put(f"/_accounts/{key_id}", json={}) as plain:
        assert plain.status == 200
    account = (await alice.store(key_id, "<i>Growth</i>"))["id"]
    wanted = {"name": "<b>bot</b>", "access": "trade"}
    async with alice.client.post(f"/api/credentials/{account}/grants", json=wanted) as answer:
        grant = await answer.json()
    refused = {**LIMIT_ORDER, "qty": "1000000", "limit_price": "1000"}
    async with ClientSession(service.url, headers=key_headers(grant)) as program:
        for order, status in ((LIMIT_ORDER, 200), (refused, 403)):
            async with program.post("/alpaca/v2/orders", json=order) as answer:
                assert answer.status == status
    path = f"/you/audit?grant={grant['id']}"
    text = await _concluded(alices, path)
    parts = [
        "Order by grant <b>bot</b>: buy 1000000 AAPL, limit 1000 refused",
        "Alpaca's answer: 403",
        "Order submitted by grant <b>bot</b>: buy 1 AAPL, limit 1 done",
        "Grant created with API token test: <b>bot</b> done",
    ]
    assert [part for part in parts if part not in text] == [], text
    assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)
    assert (text.count("limit 1 "), text.count("<i>Growth</i> · from 127.0.0.1") >= 1) == (1, True)
    for query, shown in [("group=orders", 2), (f"account={account}&group=grants", 0), (f"account={uuid4()}", 0)]:
        page = await read_page(alices, f"/you/audit?{query}")
        assert page.text().count("by grant <b>bot</b>: buy") == shown, query
    for query in ("", f"?grant={grant['id']}", f"?account={account}"):
        assert "bot</b>" not in (await read_page(bobs, f"/you/audit{query}")).text()
    async with alices.get("/api/audit.jsonl") as answer:
        assert answer.status == 200


async def test_a_long_trail_has_pages(service: Service, alice: Person, alices: ClientSession) -> None:
    trail = service.services.state["audit"]
    entry = NewEntry(Actor(ActorKind.GRANT, uuid4()), Action.ORDERS_CANCEL, Result.BEGUN)
    pending = [await trail.begin(alice.user_id, entry).written() for _ in range(51)]
    for one in pending[:-1]:
        one.conclude(Result.DONE)
    await trail.begin(alice.user_id, entry).written()  # commits after those outcomes
    first = await read_page(alices, "/you/audit?group=orders")
    (following,) = [link["href"] for link in first.attributes("a") if link.get("rel") == "next"]
    second = await read_page(alices, f"/you/audit{following}")
    texts = first.text() + second.text()
    assert (texts.count("All orders canceled"), texts.count("no answer yet")) == (50, 2)
    assert "First page" in second.text()
    assert "cursor" not in Parsed(await _html(alices, "/you/audit?cursor=x")).text()


async def _concluded(session: ClientSession, path: str) -> str:
    """The page's text, once the outcomes are written down, which no answer waits for."""
    async with asyncio.timeout(60):
        while "no answer yet" in (text := (await read_page(session, path)).text()):  # noqa: ASYNC110 - it tells of nothing
            await asyncio.sleep(0.05)
        return text


async def _html(session: ClientSession, path: str) -> str:
    async with session.get(path) as answer:
        assert answer.status == 200
        return await answer.text()
