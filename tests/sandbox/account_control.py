"""The control calls for accounts, and the account as Alpaca's API shows it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from aiohttp import ClientSession

from corral_sandbox import Sandbox, serve_sandbox
from tests.sandbox.asking import Caller
from tests.sandbox.broker import TUESDAY_TEN
from tests.sandbox.people import ALICE, nanoseconds


class Hands:
    """A clock that stands still until it is moved. It starts while the exchange is open."""

    def __init__(self, at: str = TUESDAY_TEN) -> None:
        self.now = nanoseconds(at)

    def __call__(self) -> int:
        return self.now

    def move_to(self, at: str) -> None:
        self.now = nanoseconds(at)


class AccountControl:
    """Alice's account unless another key id is given."""

    def __init__(self, http: ClientSession, sandbox: Sandbox, hands: Hands) -> None:
        self.sandbox = sandbox
        self.hands = hands
        self.api = Caller(http, sandbox)
        self._http = http

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,  # noqa: ANN401 - any JSON
    ) -> tuple[int, Any]:
        sent: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self._http.request(method, f"{self.sandbox.url}{path}", **sent) as response:
            return response.status, await response.json()

    async def put(self, form: Any, key_id: str = ALICE) -> Any:  # noqa: ANN401 - any JSON
        return await self._succeed("PUT", f"/_accounts/{key_id}", form)

    async def state(self, key_id: str = ALICE) -> Any:  # noqa: ANN401 - any JSON
        return await self._succeed("GET", f"/_accounts/{key_id}")

    async def delete(self, key_id: str = ALICE) -> Any:  # noqa: ANN401 - any JSON
        return await self._succeed("DELETE", f"/_accounts/{key_id}")

    async def reset(self) -> None:
        await self._succeed("POST", "/_reset")

    async def refusal(self, form: Any, key_id: str = ALICE) -> str:  # noqa: ANN401 - any JSON
        status, answer = await self.ask("PUT", f"/_accounts/{key_id}", form)
        assert status == 400, answer
        return answer["message"]

    async def place(self, *, key_id: str = ALICE, **fields: object) -> Any:  # noqa: ANN401 - any JSON
        order = {"symbol": "KO", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day", **fields}
        status, answer = await self.api.ask("/v2/orders", method="POST", body=order, key_id=key_id)
        assert status == 200, answer
        return answer

    async def everything(self, key_id: str = ALICE) -> list[Any]:
        """Returns all that Alpaca's API says about an account."""
        paths = ("/v2/account", "/v2/positions", "/v2/orders?status=all&limit=500", "/v2/account/activities")
        more = ("/v2/account/portfolio/history", "/v2/account/configurations", "/v2/watchlists")
        return [await self.api.get(path, key_id) for path in (*paths, *more)]

    async def _succeed(self, method: str, path: str, body: Any = None) -> Any:  # noqa: ANN401 - any JSON
        status, answer = await self.ask(method, path, body)
        assert status == 200, answer
        return answer


@asynccontextmanager
async def account_control(
    http: ClientSession, *, seed: int = 0, characters: bool = False
) -> AsyncGenerator[AccountControl]:
    hands = Hands()
    async with serve_sandbox(port=0, seed=seed, rate_limit_per_minute=0, clock=hands, characters=characters) as sandbox:
        yield AccountControl(http, sandbox, hands)


async def check_identities(control: AccountControl, key_id: str = ALICE) -> Any:  # noqa: ANN401 - any JSON
    """Checks that account, positions, activities and history agree, and returns the account."""
    account, positions, _, activities, history, *_ = await control.everything(key_id)
    money = {name: Decimal(text) for name, text in account.items() if isinstance(text, str) and _is_number(text)}
    values = [Decimal(position["market_value"]) for position in positions]
    assert money["long_market_value"] == sum(value for value in values if value > 0)
    assert money["short_market_value"] == sum(value for value in values if value < 0)
    assert money["equity"] == money["cash"] + money["long_market_value"] + money["short_market_value"]
    assert money["portfolio_value"] == money["equity"]
    gross = money["long_market_value"] - money["short_market_value"]
    assert money["initial_margin"] == gross / 2
    assert money["maintenance_margin"] == gross * 3 / 10
    regulation_t = 2 * max(money["equity"] - money["initial_margin"], Decimal())
    assert money["regt_buying_power"] == (money["cash"] if account["multiplier"] == "1" else regulation_t)
    by_multiplier = {
        "1": money["cash"],
        "2": regulation_t,
        "4": 4 * max(money["last_equity"] - money["last_maintenance_margin"], Decimal()),
    }
    assert money["buying_power"] == by_multiplier[account["multiplier"]]
    assert sum(map(_cash_of, activities)) == money["cash"]
    for position in positions:
        qty, paid = Decimal(position["qty"]), Decimal(position["avg_entry_price"])
        each = 100 if position["asset_class"] == "us_option" else 1
        assert Decimal(position["cost_basis"]) == qty * paid * each
        assert Decimal(position["market_value"]) == qty * Decimal(position["current_price"]) * each
    assert Decimal(str(history["equity"][-1])) == _as_json_number(money["equity"])
    assert Decimal(str(history["equity"][-2])) == _as_json_number(money["last_equity"])
    return account


def _as_json_number(amount: Decimal) -> Decimal:
    """JSON numbers of a history are read as floats here."""
    return Decimal(str(float(amount)))


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()


def _cash_of(activity: Any) -> Decimal:  # noqa: ANN401 - any JSON
    if activity["activity_type"] != "FILL":
        return Decimal(activity["net_amount"])
    each = 100 if len(activity["symbol"]) > 10 else 1
    amount = Decimal(activity["qty"]) * Decimal(activity["price"]) * each
    return amount if activity["side"] == "sell" else -amount
