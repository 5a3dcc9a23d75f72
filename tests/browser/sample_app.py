"""A service with sample data for every state of every page."""

import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import orjson
from aiohttp import ClientSession

from corral.credentials.models import Placement
from corral.credentials.queries import mark_refused, place_credential
from corral.database.connection import get_connection_with_rls
from corral.database.embedded.instance import embedded_postgres
from corral.database.migrate import apply_migrations
from corral.identity.security_events import ChangeSource, note_event
from corral_sandbox import serve_sandbox
from tests.access import browser, link_code, sign_in_by_link
from tests.accounts.alpaca_lists import FILL, POSITION, Json, order
from tests.conftest import Faults, Service, service_starter
from tests.identity.members import PASSWORD, add_member, make_administrator
from tests.people import Person, make_person
from tests.turned_clock import start_of_sandboxes

# The sandbox derives what these accounts hold from their key IDs.
_ACCOUNTS = {
    "paper": ("Swing trading", "PKPAGES55ABCDEF"),  # with a short position
    "live": ("Long-term", "AKSANDBOXDEMO1"),
    "blocked": ("Day trading with a long name that describes all of it", "PKPAGES42ABCDEF"),
    "refused": ("Old keys", "PKPAGES04ABCDEF"),
    "down": ("Wheel", "PKPAGES08ABCDEF"),
    "off": ("Experiments", "PKPAGES09ABCDEF"),
    "odd": ("Partly unreadable", "PKPAGES11ABCDEF"),
    "unopened": ("New account", "PKPAGES12ABCDEF"),
}
_BLOCKED = {"trading_blocked": "true", "account_blocked": "true", "pattern_day_trader": "true", "daytrade_count": "4"}
_UNOPENED = {"account_raw": {"status": '"ONBOARDING"'}, "account_without": ["cash", "equity"]}
_ODD_POSITIONS = [
    {**POSITION, "asset_id": "1", "symbol": "MSFT", "side": "long", "qty": "12", "market_value": "5880.00"},
    {**POSITION, "asset_id": "2", "symbol": "NVDA", "side": "long", "qty": "40", "market_value": "7120.00"},
    {**POSITION, "asset_id": "3", "symbol": "TSLA", "qty": "?"},
    {**POSITION, "asset_id": "4", "symbol": "NVDA281215C00200000", "side": "short", "qty": "-4",
     "market_value": "-1204.00", "asset_class": "us_option"},
    {**POSITION, "asset_id": "5", "symbol": "NVDA281215P00150000", "side": "long", "qty": "4", "market_value": "988.00",
     "asset_class": "us_option"},
    {**POSITION, "asset_id": "6", "symbol": "BTCUSD", "side": "long", "qty": "0.128473612", "market_value": "12477.81",
     "asset_class": "crypto"},
]  # fmt: skip
_BRACKET = {"order_class": "bracket", "group_id": str(UUID(int=30)), "qty": "10", "symbol": "NVDA"}
_TARGET = _BRACKET | {"group_role": "take_profit", "type": "limit", "limit_price": "190", "side": "sell"}
_STOP = _BRACKET | {"group_role": "stop_loss", "type": "stop", "stop_price": "168.5", "side": "sell", "filled_at": None}
_LEG = {"order_class": "mleg", "asset_class": "us_option", "type": "", "qty": "3", "filled_qty": "1"}
_LISTED_ORDERS = [
    order(
        3, **_BRACKET | {"group_role": "entry", "filled_qty": "10", "filled_avg_price": "178.2"}, time_in_force="gtc",
        legs=[
            order(4, **_TARGET, filled_qty="10", filled_avg_price="190.02", filled_at="2026-11-23T18:02:11.5Z"),
            order(5, **_STOP, status="canceled", filled_qty="0", filled_avg_price=None,
                  canceled_at="2026-11-23T18:02:11.6Z"),
        ],
    ),
    order(
        6, order_class="mleg", type="limit", symbol="", side="", asset_class="", position_intent=None, qty="3",
        filled_qty="1",
        status="partially_filled", limit_price="-1.25", filled_avg_price="-1.27", filled_at=None,
        legs=[
            order(7, **_LEG, symbol="SPY991218C00600000", side="sell", ratio_qty="1", filled_avg_price="3.05",
                  position_intent="sell_to_open"),
            order(8, **_LEG, symbol="SPY991218C00605000", side="buy", ratio_qty="1", filled_avg_price="1.78"),
        ],
    ),
    order(9, symbol="TSLA", side="sell", type="trailing_stop", trail_percent="5", stop_price="361.2", hwm="380.21",
          filled_qty="0", filled_avg_price=None, filled_at=None, status="new", time_in_force="gtc", qty="4"),
    order(10, symbol="AAPL", type="limit", limit_price="240.5", notional="500", qty=None, extended_hours=True,
          filled_qty="0", filled_avg_price=None, filled_at=None, status="accepted"),
]  # fmt: skip
_ODD_ORDERS = [
    *_LISTED_ORDERS,
    order(1, symbol="ETH/BTC", asset_class="crypto", filled_avg_price="0.0344", limit_price="0.0345", qty="2"),
    order(2, symbol="TSLA", filled_avg_price="?"),
]
_ODD_ACTIVITIES = [
    {**FILL, "id": "4", "order_id": str(UUID(int=3)), "symbol": "NVDA", "qty": "4", "cum_qty": "4", "price": "178.2",
     "type": "partial_fill", "transaction_time": "2026-11-23T14:31:04.9Z"},
    {**FILL, "id": "5", "order_id": str(UUID(int=3)), "symbol": "NVDA", "qty": "6", "cum_qty": "10", "price": "178.2",
     "transaction_time": "2026-11-23T14:31:05.02Z"},
    {**FILL, "id": "6", "order_id": str(UUID(int=7)), "symbol": "SPY991218C00600000", "qty": "1", "cum_qty": "1",
     "price": "3.05", "side": "sell", "transaction_time": "2026-11-23T14:31:05.02Z"},
    {"id": "1", "activity_type": "CFEE", "date": "2026-08-12", "net_amount": "-0.00001", "symbol": "ETHUSD",
     "qty": "-0.000195", "price": "1884.5", "description": "Coin Pair Transaction Fee (Non USD)", "status": "executed"},
    {"id": "2", "activity_type": "FEE", "date": "2026-08-04", "net_amount": "-0.31", "status": "executed",
     "description": "TAF fee for 1572 shares (89 trades)", "venue": "XNAS"},
    {"id": "3", "activity_type": "DIV", "date": "soon", "net_amount": "1.02"},
]  # fmt: skip
_GRANTS = [
    ("paper", {"name": "Momentum bot", "access": "trade", "expires_in": "90d"}),
    ("paper", {"name": "Backtest notebook", "access": "read", "expires_in": "3d"}),
    ("paper", {"name": "Agent that closes what is left at the end of the day", "access": "close_only",
               "networks": ["192.0.2.0/24", "2001:db8:1234:5678::/64"]}),
    ("live", {"name": "Portfolio tracker", "access": "read", "expires_in": "7d"}),
    ("live", {"name": "Rebalancing", "access": "trade", "expires_in": "365d"}),
    ("refused", {"name": "Old script", "access": "read"}),
]  # fmt: skip
_SENT_ORDERS = [
    {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "limit_price": "10.00", "time_in_force": "day"},
    {"symbol": "AAPL", "qty": "1000000", "side": "buy", "type": "market", "time_in_force": "day"},
    {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "limit", "limit_price": "240.00", "time_in_force": "gtc",
     "order_class": "bracket", "take_profit": {"limit_price": "300"}, "stop_loss": {"stop_price": "200"}},
]  # fmt: skip
_THREE = {
    "PKTRADER1ABCDEF": "Donaudampfschifffahrtsgesellschaftskonto",
    "AKTRADER2ABCDEF": "Long-term",
    "AKTRADER3ABCDEF": "Retirement",
}
_FAILING = [f"PKUNLUCKY{number}ABCDEF" for number in range(3)]
_NAMES = [
    "Dividends", "Swing trading", "Wheel", "Momentum", "College fund", "Small caps", "Covered calls", "Earnings",
    "Index", "Experiments",
]  # fmt: skip
_DEVICES = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile/15E148 Safari/604",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
]

_REMOTE_SOURCE = ChangeSource("link", "2001:db8:1234:5678:9abc:def0:1234:5678", "Firefox on Linux")


def _of_another_year(listed: list[Json]) -> list[Json]:
    """Whose days are shown with their year, whenever the tests are run."""
    return orjson.loads(re.sub(rb'"2026-(?=\d\d-\d\d[T"])', b'"2024-', orjson.dumps(listed)))


@dataclass(frozen=True, slots=True)
class SampleApp:
    """`ids` are of the accounts (`paper`, `live`, …), of the members `friend` and `outsider` (disabled), and of
    `invitation`, `token`, `session` and `grant`, which is of `paper`.
    """

    service: Service
    administrator: Person  # with accounts in every state, API tokens and a password
    new_member: Person  # without accounts
    beginner: Person  # with one account
    trader: Person  # with three accounts
    collector: Person  # with thirty, some of them pinned and in groups
    unlucky: Person  # with three, for all of which Alpaca returns errors
    ids: dict[str, str]


@asynccontextmanager
async def open_sample_app(folder: Path) -> AsyncGenerator[SampleApp]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(embedded_postgres(folder))
        await apply_migrations(database.dsn("corral_owner"))
        sandbox = await stack.enter_async_context(serve_sandbox(port=0, start=start_of_sandboxes(), characters=True))
        start = service_starter(database, sandbox, folder)
        service = await stack.enter_async_context(start(upstream_timeout_seconds=30, stream_poll_seconds=60))
        administrator = await stack.enter_async_context(make_person(service, "administrator"))
        new_member = await stack.enter_async_context(make_person(service, "new_member"))
        await make_administrator(service, administrator.email)
        await _set_password(service, administrator)
        async with get_connection_with_rls(administrator.user_id, service.resources.database) as connection:
            await note_event(
                connection, service.resources.vault, administrator.user_id, "password_recovered", _REMOTE_SOURCE
            )
        faults = Faults(await stack.enter_async_context(ClientSession(sandbox.url)))
        beginner, trader, collector, unlucky = [
            await stack.enter_async_context(make_person(service, name))
            for name in ("beginner", "trader", "collector", "unlucky")
        ]
        for number, key in enumerate(_FAILING, 1):
            await unlucky.store(key, f"Account {number}")
        ids = await _add_accounts(administrator, faults) | await _add_members(service, administrator)
        async with get_connection_with_rls(administrator.user_id, service.resources.database) as connection:
            assert await mark_refused(connection, administrator.user_id, UUID(ids["refused"]), revision=1)
        await beginner.store("AKBEGINNER1ABCDEF", "Savings")
        for key, nickname in _THREE.items():
            await trader.store(key, nickname)
        await _add_thirty_accounts(service, collector)
        ids |= await _add_grants(service, administrator, ids)
        yield SampleApp(service, administrator, new_member, beginner, trader, collector, unlucky, ids)


async def _set_password(service: Service, person: Person) -> None:
    cookie = await sign_in_by_link(service, person.user_id)
    async with (
        browser(service.url, cookie) as page,
        page.put("/api/me/password", json={"new_password": PASSWORD}) as answer,
    ):
        assert answer.status == 204, await answer.text()


async def _add_accounts(administrator: Person, faults: Faults) -> dict[str, str]:
    ids = {name: str((await administrator.store(key, nickname))["id"]) for name, (nickname, key) in _ACCOUNTS.items()}
    async with administrator.client.patch(f"/api/credentials/{ids['off']}", json={"is_active": False}) as answer:
        assert answer.status == 200
    await faults.set_all(
        [
            {"key_id": _ACCOUNTS["blocked"][1], "path": "/v2/account", "account_raw": _BLOCKED},
            {"key_id": _ACCOUNTS["refused"][1], "status": 401},
            *[{"key_id": key, "status": 503} for key in (_ACCOUNTS["down"][1], *_FAILING)],
            {"key_id": _ACCOUNTS["unopened"][1], "path": "/v2/account", **_UNOPENED},
            {"key_id": _ACCOUNTS["odd"][1], "path": "/v2/positions", "body": _ODD_POSITIONS},
            {"key_id": _ACCOUNTS["odd"][1], "path": "/v2/orders", "body": _of_another_year(_ODD_ORDERS)},
            {
                "key_id": _ACCOUNTS["odd"][1],
                "path": "/v2/account/activities",
                "body": _of_another_year(_ODD_ACTIVITIES),
            },
            *[
                {"key_id": _ACCOUNTS["odd"][1], "path": f"/v2/orders/{one['id']}", "body": one}
                for one in _LISTED_ORDERS
            ],
        ]
    )
    return ids


async def _add_grants(service: Service, administrator: Person, ids: dict[str, str]) -> dict[str, str]:
    """Some that end soon, and what a program did with one of them."""
    cookie = await sign_in_by_link(service, administrator.user_id)
    made: list[dict[str, str]] = []
    async with browser(service.url, cookie) as page:
        for account, fields in _GRANTS:
            body = {**fields, "current_password": PASSWORD}
            async with page.post(f"/api/credentials/{ids[account]}/grants", json=body) as answer:
                assert answer.status == 201, await answer.text()
                made.append(await answer.json())
        renewal = {"expires_in": "3d", "new_secret": True}
        async with page.post(f"/api/grants/{made[1]['id']}/renew", json=renewal) as answer:
            assert answer.status == 200, await answer.text()
    keys = {"APCA-API-KEY-ID": made[0]["key_id"], "APCA-API-SECRET-KEY": made[0]["secret_key"]}
    async with ClientSession(f"{service.url}/alpaca/", headers=keys) as program:
        for sent in _SENT_ORDERS:
            async with program.post("v2/orders", json=sent) as answer:
                assert answer.status < 500, await answer.text()
        for path in ("v2/positions/NVDA?percentage=5", "v2/orders"):
            async with program.delete(path) as answer:
                assert answer.status < 500, await answer.text()
    return {"grant": made[0]["id"]}


async def _add_thirty_accounts(service: Service, collector: Person) -> None:
    for number in range(30):
        environment = "PK" if number % 3 else "AK"
        stored = await collector.store(
            f"{environment}COLLECT{number}ABCDEF", _NAMES[number % 10] + f" {number // 10 + 1}"
        )
        placement = Placement([None, "Retirement", "Options"][number % 3], is_pinned=number == 17)
        async with get_connection_with_rls(collector.user_id, service.resources.database) as connection:
            assert await place_credential(connection, collector.user_id, UUID(stored["id"]), placement)


async def _add_members(service: Service, administrator: Person) -> dict[str, str]:
    friend, outsider = await add_member(service), await add_member(service)
    forms: list[tuple[str, dict[str, str]]] = [
        (f"/people/{outsider.user_id}/disable", {"current_password": PASSWORD}),
        ("/people/invitations", {"email": "dora@corral.example", "current_password": PASSWORD}),
    ]
    cookie = await sign_in_by_link(service, administrator.user_id)
    async with browser(service.url, cookie) as page, browser(service.url) as elsewhere:
        for address, fields in forms:
            async with page.post(address, data=fields) as answer:
                assert answer.status == 200, await answer.text()
        for device in _DEVICES:
            sent = {"token": await link_code(service, administrator.user_id)}
            async with elsewhere.post("/api/session/link", json=sent, headers={"User-Agent": device}) as answer:
                assert answer.status == 200, await answer.text()
        async with page.get("/api/sessions") as answer:
            sessions = (await answer.json())["items"]
        async with page.get("/api/people") as answer:
            (invitation,) = (await answer.json())["invitations"]
    wanted = {"name": "Spreadsheet", "scopes": ["accounts:read"], "expires_at": "2099-12-31T00:00:00Z"}
    async with administrator.client.post("/api/tokens", json=wanted) as answer:
        token = await answer.json()
    return {
        "friend": str(friend.user_id),
        "outsider": str(outsider.user_id),
        "invitation": invitation["id"],
        "token": token["id"],
        "session": next(session["id"] for session in sessions if "iPhone" in session["device"]),
    }
