"""The pytest plugin: a sandbox for each test run, and an account, a clock, prices and faults for each test.

It is loaded with every run of pytest in an environment that has the sandbox, so it imports nothing more until a test
asks for one of its fixtures.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

import pytest

if TYPE_CHECKING:
    from typing import Unpack

    from alpaca.trading.client import TradingClient

    from corral_sandbox.control.clock import BlockingClock
    from corral_sandbox.control_client import AccountMembers, AlpacaAccount, AlpacaFaults, AlpacaPrices, ControlClient
    from corral_sandbox.server import BlockingSandbox

__all__ = [
    "AlpacaAccounts",
    "alpaca_account",
    "alpaca_accounts",
    "alpaca_clock",
    "alpaca_faults",
    "alpaca_prices",
    "alpaca_sandbox",
    "trading_client",
]

# Name, default and help of each option: `alpaca_sandbox_seed` in the configuration file, `--alpaca-sandbox-seed` on
# the command line.
_OPTIONS: Final = (
    ("seed", "0", "integer that prices and ids follow from"),
    ("start", "2026-10-06T10:00-04:00", "time at which each test starts, with a time zone"),
    ("speed", "0", "how fast the sandbox's time runs: 0 (it stands still) to 86400"),
    ("rate_limit", "0", "requests per minute of each key; 0: no limit, 200: as at Alpaca"),
)
_PREFIX: Final = "alpaca_sandbox_"
_FASTEST: Final = 86_400
_ENVIRONMENTS: Final = {"paper": "PK", "live": "AK"}
_LENGTH_OF_A_KEY_ID, _LONGEST_NAME_IN_IT = 26, 12
_PROXIES: Final = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "ws_proxy", "WS_PROXY")

Environment = Literal["paper", "live"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("alpaca_sandbox", "Alpaca sandbox")
    for name, default, text in _OPTIONS:
        parser.addini(_PREFIX + name, f"Alpaca sandbox: {text} (default: {default})", default=default)
        group.addoption(f"--{_PREFIX}{name}".replace("_", "-"), dest=_PREFIX + name, metavar="VALUE", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Raises UsageError for an option that cannot be."""
    _Settings.of(config)
    config.addinivalue_line(
        "markers",
        "alpaca_account(environment='paper', **members): the account that the fixture alpaca_account opens: paper or "
        "live, and what to set it to, such as cash='500'",
    )


@dataclass(frozen=True, slots=True)
class _Settings:
    seed: int
    start: datetime
    speed: int
    rate_limit: int

    @classmethod
    def of(cls, config: pytest.Config) -> "_Settings":
        given: dict[str, str] = {
            name: config.getoption(_PREFIX + name) or config.getini(_PREFIX + name) for name, *_ in _OPTIONS
        }
        return cls(
            seed=_integer("seed", given["seed"]),
            start=_moment("start", given["start"]),
            speed=_integer("speed", given["speed"], at_most=_FASTEST),
            rate_limit=_integer("rate_limit", given["rate_limit"]),
        )


def _integer(name: str, text: str, *, at_most: int | None = None) -> int:
    if text.isascii() and text.isdigit() and (at_most is None or int(text) <= at_most):
        return int(text)
    up_to = "" if at_most is None else f" from 0 to {at_most}"
    raise pytest.UsageError(f"{_PREFIX}{name} is a whole number{up_to}, not {text!r}")


def _moment(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise pytest.UsageError(f"{_PREFIX}{name} is a time with a time zone, as in {_OPTIONS[1][1]}, not {text!r}")
    return moment


@pytest.fixture(scope="session")
def alpaca_sandbox(pytestconfig: pytest.Config) -> "Iterator[BlockingSandbox]":
    """A sandbox broker on a free port of 127.0.0.1, one for each worker of pytest-xdist: `alpaca_sandbox.url`."""
    from corral_sandbox.server import run_sandbox

    settings = _Settings.of(pytestconfig)
    with (
        _reached_without_proxy("127.0.0.1"),
        run_sandbox(
            seed=settings.seed,
            start=settings.start,
            speed=settings.speed,
            rate_limit_per_minute=settings.rate_limit,
        ) as sandbox,
    ):
        yield sandbox


@contextmanager
def _reached_without_proxy(host: str) -> Generator[None]:
    """Where a proxy is set in the environment, HTTP clients would ask it for this host, too."""
    with pytest.MonkeyPatch.context() as environment:
        if any(os.environ.get(name) for name in _PROXIES):
            excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
            for name in ("no_proxy", "NO_PROXY"):
                environment.setenv(name, excepted if excepted == "*" else ",".join(filter(None, (excepted, host))))
        yield


@pytest.fixture
def _alpaca_control(request: pytest.FixtureRequest, alpaca_sandbox: "BlockingSandbox") -> "Iterator[ControlClient]":
    """Puts everything back to the start when the test is over, so that the next one finds a new sandbox.

    Open streams stay open: they may belong to fixtures that live longer.
    """
    from corral_sandbox.control_client import ControlClient

    control = ControlClient(alpaca_sandbox.url)
    yield control
    request.node.stash[_ACCOUNTS] = []
    control.reset()


class AlpacaAccounts:
    """Opens accounts for one test. Their keys follow from the test's node id, so each run has the same ones."""

    def __init__(self, item: pytest.Item, sandbox: "BlockingSandbox", control: "ControlClient") -> None:
        self._item = item
        self._sandbox = sandbox
        self._control = control
        self._opened: list[AlpacaAccount] = []
        self._count = 0
        item.stash[_ACCOUNTS] = self._opened

    def __call__(self, environment: Environment = "paper", **members: "Unpack[AccountMembers]") -> "AlpacaAccount":
        """Returns one more account, `paper` or `live`, set to `members`.

        Raises ValueError for members that Alpaca could not have, with the reason.
        """
        self._count += 1
        return self._open(environment, self._count, members)

    def first(self, environment: Environment = "paper", **members: "Unpack[AccountMembers]") -> "AlpacaAccount":
        """The account that the fixture `alpaca_account` returns."""
        return self._open(environment, 0, members)

    def _open(self, environment: Environment, number: int, members: "AccountMembers") -> "AlpacaAccount":
        from corral_sandbox.control_client import AlpacaAccount
        from corral_sandbox.http.access import secret_of

        if environment not in _ENVIRONMENTS:
            raise ValueError(f"an account is paper or live, not {environment!r}")
        key_id = _key_id(self._item, environment, number)
        account = AlpacaAccount(
            key_id=key_id,
            secret_key=secret_of(key_id),
            base_url=self._sandbox.live_url if environment == "live" else self._sandbox.paper_url,
            data_url=self._sandbox.url,
            control=self._control,
        )
        self._opened.append(account)
        if members:
            account.set(**members)
        return account


_ACCOUNTS: "Final[pytest.StashKey[list[AlpacaAccount]]]" = pytest.StashKey()


def _key_id(item: pytest.Item, environment: Environment, number: int) -> str:
    """Begins like the name of the test, so that a log says which one it was.

    The id of the parent and the name are the node id without the group that pytest-xdist appends in its workers.
    """
    from base64 import b32encode
    from hashlib import sha256

    node_id = f"{item.parent.nodeid if item.parent else ''}::{item.name}"
    name = "".join(filter(str.isalnum, item.name.removeprefix("test_").upper().encode("ascii", "ignore").decode()))
    digest = b32encode(sha256(f"{node_id} {number}".encode()).digest()).decode()
    return (_ENVIRONMENTS[environment] + name[:_LONGEST_NAME_IN_IT] + digest)[:_LENGTH_OF_A_KEY_ID]


@pytest.fixture
def alpaca_accounts(
    request: pytest.FixtureRequest, alpaca_sandbox: "BlockingSandbox", _alpaca_control: "ControlClient"
) -> AlpacaAccounts:
    """Opens as many accounts as a test needs: `alpaca_accounts("live", cash="500")`."""
    return AlpacaAccounts(request.node, alpaca_sandbox, _alpaca_control)


@pytest.fixture
def alpaca_account(request: pytest.FixtureRequest, alpaca_accounts: AlpacaAccounts) -> "AlpacaAccount":
    """The test's own account: `key_id`, `secret_key`, `base_url`, `data_url`, `headers`; `set`, `state`, `requests`.

    It is a new paper account, or as `@pytest.mark.alpaca_account("live", cash="500")` says. If the test fails, the
    report has its state and its last requests.
    """
    marker = request.node.get_closest_marker("alpaca_account")
    return alpaca_accounts.first(*marker.args, **marker.kwargs) if marker else alpaca_accounts.first()


@pytest.fixture
def trading_client(alpaca_account: "AlpacaAccount") -> "Iterator[TradingClient]":
    """TradingClient of alpaca-py, connected to `alpaca_account`."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports a deprecated module
        try:
            from alpaca.trading.client import TradingClient
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] != "alpaca":
                raise
            pytest.fail("the fixture trading_client needs Alpaca's SDK: pip install alpaca-py", pytrace=False)
    client = TradingClient(alpaca_account.key_id, alpaca_account.secret_key, url_override=alpaca_account.base_url)
    yield client
    client._session.close()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - it has no method for this


@pytest.fixture
def alpaca_clock(alpaca_sandbox: "BlockingSandbox", _alpaca_control: "ControlClient") -> "BlockingClock":
    """The sandbox's clock: `advance(seconds=90)`, `advance(to="open")`, `set(at=…, speed=…)`, `get()`.

    After the test it is back at the start, and so are prices, faults and accounts.
    """
    return alpaca_sandbox.clock


@pytest.fixture
def alpaca_prices(_alpaca_control: "ControlClient") -> "AlpacaPrices":
    """The sandbox's prices: `set(AAPL="270")`, `halt("TSLA")`, `reset()`."""
    from corral_sandbox.control_client import AlpacaPrices

    return AlpacaPrices(_alpaca_control)


@pytest.fixture
def alpaca_faults(_alpaca_control: "ControlClient") -> "AlpacaFaults":
    """What the sandbox does wrong: `add(path="/v2/orders", method="POST", times=1, status=503)`, `clear()`."""
    from corral_sandbox.control_client import AlpacaFaults

    return AlpacaFaults(_alpaca_control)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the state of the test's accounts to the report of a failure."""
    report = yield
    if report.failed:
        for account in item.stash.get(_ACCOUNTS, ()):
            report.sections.append((f"Alpaca account {account.key_id}", _describe(account)))
    return report


def _describe(account: "AlpacaAccount") -> str:
    from corral_sandbox.control_client import describe_account

    try:
        return describe_account(account)
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
