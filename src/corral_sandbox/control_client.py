"""The control API as plain calls, for tests: accounts, prices and faults of a running sandbox.

Each call is a request over a connection of its own. It goes straight to the sandbox, whatever proxies are set, and
works in threads and forked processes, too. A refusal raises ValueError with the sandbox's reason.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from http.client import HTTPConnection
from typing import Any, TypeAlias, TypedDict, Unpack, cast
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

Amount: TypeAlias = str | int | float | Decimal
Price: TypeAlias = Amount | Sequence[tuple[datetime | str, Amount]]
Json: TypeAlias = dict[str, Any]

_PATIENCE = 60.0  # seconds: a call waits until an advance of the clock is over


class AccountMembers(TypedDict, total=False):
    """What an account can be set to. docs/sandbox.md has a table of them."""

    cash: Amount
    currency: str
    multiplier: str | int
    status: str
    options_level: int
    daytrade_count: int | None
    restrictions: Sequence[str]
    positions: Sequence[Mapping[str, object]]
    orders: Sequence[Mapping[str, object]]
    configurations: Mapping[str, object]
    watchlists: Sequence[Mapping[str, object]]
    character: str
    derived: Mapping[str, object]


class ControlClient:
    """Sends requests to the sandbox at `url`, such as http://127.0.0.1:8003."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: object = None) -> Json:
        """Returns the document that the sandbox answers. Raises ValueError with its reason if it refuses."""
        address = urlsplit(self.url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=_PATIENCE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body, default=_plain))
            response = connection.getresponse()
            document: Json = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 400:  # noqa: PLR2004 - HTTP's errors
            raise ValueError(document["message"])
        return document

    def reset(self) -> None:
        """Puts everything back to the start: clock, accounts, prices, faults and journals."""
        self.call("POST", "/_reset")


@dataclass(frozen=True, slots=True)
class AlpacaAccount:
    """An account of a sandbox, and what a program needs to connect to it.

    `base_url` is for the Trading API, without `/v2`, and `data_url` for market data. `stream_url` is the WebSocket of
    trade updates.
    """

    key_id: str
    secret_key: str = field(repr=False)
    base_url: str
    data_url: str
    control: ControlClient = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The two headers with the key."""
        return {"APCA-API-KEY-ID": self.key_id, "APCA-API-SECRET-KEY": self.secret_key}

    @property
    def stream_url(self) -> str:
        return f"{self.base_url.replace('http', 'ws', 1)}/stream"

    def set(self, **members: Unpack[AccountMembers]) -> Json:
        """Replaces the whole account and returns it. What is left out is as in a new account."""
        return self.control.call("PUT", self._path, members)

    def state(self) -> Json:
        """Returns all of the account, in the form that `set` takes; what follows from the rest is under `derived`."""
        return self.control.call("GET", self._path)

    def requests(self, *, after: int = 0) -> list[Json]:
        """Returns what the key sent and got, with a number `n` above `after`, in the order of arrival."""
        items: list[Json] = self.control.call("GET", f"/_requests/{self.key_id}?after={after}")["items"]
        return items

    def reset(self) -> None:
        """Opens the account anew."""
        self.control.call("DELETE", self._path)

    @property
    def _path(self) -> str:
        return f"/_accounts/{self.key_id}"


class AlpacaPrices:
    """The prices that a test fixes."""

    def __init__(self, control: ControlClient) -> None:
        self._control = control

    def set(self, prices: Mapping[str, Price] | None = None, /, **by_symbol: Price) -> None:
        """Fixes prices in dollars from now on, or stepwise: `set(AAPL="270")`, `set({"BTC/USD": [(time, "90000")]})`.

        Prices of other symbols stay as they are.
        """
        self._control.call("PUT", "/_prices", {**(prices or {}), **by_symbol})

    def halt(self, *symbols: str) -> None:
        """Holds the present prices, and lets nothing trade in these symbols."""
        self._control.call("PUT", "/_prices", dict.fromkeys(symbols, "halted"))

    def get(self) -> Json:
        """Returns the prices that are fixed, by symbol."""
        return self._control.call("GET", "/_prices")

    def reset(self, *symbols: str) -> None:
        """Goes back to the prices that follow from the seed, of these symbols or of all."""
        for path in [f"/{quote(symbol, safe='')}" for symbol in symbols] or [""]:
            self._control.call("DELETE", f"/_prices{path}")


class AlpacaFaults:
    """What the sandbox does wrong on demand."""

    def __init__(self, control: ControlClient) -> None:
        self._control = control

    def add(self, **fault: object) -> None:
        """Adds a fault to those there are: `add(path="/v2/orders", method="POST", times=1, status=503)`.

        docs/sandbox.md has a table of its members. Each request meets the first fault that matches it.
        """
        self.set(*self.remaining(), fault)

    def set(self, *faults: Mapping[str, object]) -> None:
        """Replaces all faults."""
        self._control.call("PUT", "/_faults", {"faults": faults})

    def remaining(self) -> list[Json]:
        """Returns the faults that are not used up; `times` is what is left."""
        faults: list[Json] = self._control.call("GET", "/_faults")["faults"]
        return faults

    def clear(self) -> None:
        self._control.call("DELETE", "/_faults")


def describe_account(account: AlpacaAccount, *, requests: int = 10, longest_body: int = 300) -> str:
    """Returns an account and its last `requests` as text, for a person who looks for the reason of a failure.

    Of the account, it has what differs from a new one. Bodies and answers are cut after `longest_body` characters.
    """
    clock = account.control.call("GET", "/_clock")
    lines = [
        f"time: {clock['at']}, market {'open' if clock['is_open'] else 'closed'}",
        *_state_lines(account.state(), _new_account(account)),
        *_world_lines(account.control),
        *_request_lines(account.requests(), requests, longest_body),
    ]
    return "\n".join(lines)


def _new_account(account: AlpacaAccount) -> Json:
    """Returns the state of an account of the same kind that is new."""
    unused = AlpacaAccount(account.key_id[:2] + "NEWACCOUNT", "", "", "", account.control)
    return unused.state()


def _state_lines(state: Json, new: Json) -> list[str]:
    """One for each member that is not as in a new account, and for each position and order."""
    derived: Json = state["derived"]
    lines = [f"cash: {state['cash']}, equity: {derived['equity']}, buying power: {derived['buying_power']}"]
    for name, value in state.items():
        if name not in {"cash", "derived"} and value != new[name]:
            values = cast("list[object]", value) if isinstance(value, list) else [value]
            lines += [f"{name}: {_compact(one)}" for one in values]
    if derived["orders"]:
        lines.append(f"orders by status: {_compact(derived['orders'])}")
    return lines


def _world_lines(control: ControlClient) -> list[str]:
    prices, faults = control.call("GET", "/_prices"), control.call("GET", "/_faults")["faults"]
    return [f"{name}: {_compact(value)}" for name, value in (("prices", prices), ("faults", faults)) if value]


def _request_lines(items: list[Json], most: int, longest: int) -> list[str]:
    if not items:
        return ["requests: none"]
    lines = [f"requests: {len(items)}" if len(items) <= most else f"requests: {len(items)}, of which the last {most}:"]
    for item in items[-most:]:
        target = f"{item['path']}?{item['query']}" if item["query"] else item["path"]
        answered = "no answer" if item["status"] is None else item["status"]
        lines.append(f"  {_new_york_time(item['at'])} {item['method']} {target} {_cut(item['body'], longest)}".rstrip())
        lines.append(f"    {answered} {_cut(item['answer'], longest)}".rstrip())
    return lines


def _new_york_time(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone(ZoneInfo('America/New_York')):%H:%M:%S.%f}"


def _compact(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(value: object, longest: int) -> str:
    text = "" if value is None else _compact(value)
    return text if len(text) <= longest else f"{text[:longest]}…"


def _plain(value: object) -> object:
    """Returns what JSON has no type for as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{value!r} cannot be sent to the sandbox: give text, a number, a list or a dictionary")
