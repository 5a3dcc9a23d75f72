"""GET /v2/corporate_actions/announcements and …/{id}: dividends and splits that follow from the seed.

They are only announced: no account receives a dividend, and no price or position is split.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from uuid import NAMESPACE_URL, uuid5

from corral_sandbox.errors import ApiError, InvalidParameterError
from corral_sandbox.http.requests import Document, Request, as_choice, as_date, as_list
from corral_sandbox.market.mean_prices import MEAN_CENTS
from corral_sandbox.market.seeded_random import seeded_random
from corral_sandbox.market.time import new_york_time, sessions_from

_PAYERS = (
    *("AAPL", "BAC", "C", "COST", "CSCO", "DIA", "DIS", "F", "GE", "GM", "GOOG", "GOOGL", "IBM", "IWM", "JNJ", "JPM"),
    *("KKR", "KO", "MA", "META", "MSFT", "NKE", "NVDA", "PFE", "PG", "QQQ", "SBUX", "SPY", "T", "TLT", "V", "VOO"),
    *("VTI", "VZ", "WMT", "XOM"),
)
_FIRST_YEAR = 2019
_TYPES = ("dividend", "merger", "spinoff", "split")
_DATE_TYPES = ("declaration_date", "ex_date", "record_date", "payable_date")
_LONGEST_RANGE = timedelta(days=90)
_IDS = uuid5(NAMESPACE_URL, "urn:corral:sandbox:corporate action")


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """`cash` is dollars per share; each share becomes `new_rate` shares."""

    symbol: str
    ca_type: str
    ca_sub_type: str
    declared: date
    cash: Decimal = Decimal()
    new_rate: int = 1

    @property
    def id(self) -> str:
        return str(uuid5(_IDS, f"{self.symbol} {self.ca_type} {self.declared}"))

    def dates(self) -> dict[str, str]:
        ex_date = _trading_day(self.declared + timedelta(days=14))
        payable = _trading_day(ex_date + timedelta(days=21))
        return dict(
            zip(_DATE_TYPES, (day.isoformat() for day in (self.declared, ex_date, ex_date, payable)), strict=True)
        )

    def document(self) -> dict[str, object]:
        """Writes types in lower case, as Alpaca's SDK for Python expects them."""
        return {
            "id": self.id,
            "corporate_action_id": f"SANDBOX_{self.symbol}_{self.declared:%y%m%d}",
            "ca_type": self.ca_type,
            "ca_sub_type": self.ca_sub_type,
            "initiating_symbol": self.symbol,
            "initiating_original_cusip": "",
            "target_symbol": self.symbol,
            "target_original_cusip": "",
            **self.dates(),
            "cash": f"{self.cash:f}",
            "old_rate": "1",
            "new_rate": str(self.new_rate),
        }


def list_corporate_actions(request: Request) -> Document:
    """Takes `ca_types`, `since` and `until` (required), `symbol`, `cusip` and `date_type`."""
    query = request.query()
    missing = [name for name in ("ca_types", "since", "until") if not query.get(name)]
    if missing:
        raise InvalidParameterError(f"{missing[0]} is required")
    types = {as_choice("ca_types", name.lower(), *_TYPES, "reorg") for name in as_list(query["ca_types"])}
    since, until = as_date("since", query["since"]), as_date("until", query["until"])
    if until - since > _LONGEST_RANGE:
        raise InvalidParameterError("the date range is limited to 90 days")
    date_type = as_choice("date_type", query.get("date_type", "declaration_date"), *_DATE_TYPES)
    return [
        each.document()
        for each in announcements(request.account.terms.market.seed, request.now)
        if each.ca_type in types
        and since.isoformat() <= each.dates()[date_type] <= until.isoformat()
        and query.get("symbol", each.symbol) == each.symbol
        and not query.get("cusip")  # no asset of the sandbox has one
    ]


def get_corporate_action(request: Request) -> Document:
    for each in announcements(request.account.terms.market.seed, request.now):
        if each.id == request.path_parameters["id"].lower():
            return each.document()
    raise ApiError(404, "announcement not found", code=40410000)


def announcements(seed: int, now: int) -> tuple[CorporateAction, ...]:
    """Returns all up to the end of the next year."""
    return _announcements(seed, new_york_time(now).year + 1)


@lru_cache(maxsize=4)
def _announcements(seed: int, last_year: int) -> tuple[CorporateAction, ...]:
    years = range(_FIRST_YEAR, last_year + 1)
    dividends = (_dividend(seed, symbol, year, quarter) for symbol in _PAYERS for year in years for quarter in range(4))
    splits = (_split(seed, symbol, year) for symbol in MEAN_CENTS for year in years)
    return tuple(sorted((*dividends, *filter(None, splits)), key=lambda each: (each.declared, each.symbol)))


def _dividend(seed: int, symbol: str, year: int, quarter: int) -> CorporateAction:
    declared = _trading_day(
        date(year, 1 + 3 * quarter, 5) + timedelta(days=seeded_random(40, seed, symbol, "declares", year))
    )
    yearly = (
        MEAN_CENTS[symbol] * (50 + seeded_random(250, seed, symbol, "dividend", year)) // 100
    )  # a half to three percent
    return CorporateAction(symbol, "dividend", "cash", declared, cash=Decimal(yearly // 4).scaleb(-4))


def _split(seed: int, symbol: str, year: int) -> CorporateAction | None:
    if seeded_random(12, seed, symbol, "splits", year):
        return None
    declared = _trading_day(date(year, 2, 1) + timedelta(days=seeded_random(270, seed, symbol, "split day", year)))
    return CorporateAction(
        symbol, "split", "stock_split", declared, new_rate=2 + seeded_random(3, seed, symbol, "split", year)
    )


def _trading_day(day: date) -> date:
    """Returns the first trading day from `day` on."""
    return next(sessions_from(day)).day
