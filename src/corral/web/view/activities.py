"""Words for Alpaca's activity types, and what a fill cost or brought in.

Source: ActivityType and ActivitySubType in https://docs.alpaca.markets/openapi/trading-api.json, and the types that
https://docs.alpaca.markets/us/v1.1/changelog/2026-11-06-activity-types-b66d603 adds.
"""

import re
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Final

from corral.accounts.schemas import NonTradeActivityResponse, TradeActivityResponse
from corral.web.view.figures import quote_currency
from corral.web.view.instruments import parse_option

_EXACT: Final = Context(prec=400)
_COIN_CURRENCIES: Final = frozenset({"BTC", "ETH"})
_LONGEST_CODE: Final = 6  # what is longer is a word

# The choices of the filter, by Alpaca's activity types.
ACTIVITY_FILTERS: Final[Mapping[str, str]] = {
    "FILL": "Trades",
    "DIV,DIVCGL,DIVCGS,DIVFEE,DIVFT,DIVNRA,DIVROC,DIVTW,DIVTXEX,CGD": "Dividends",
    "INT,INTNRA,INTTW": "Interest",
    "FEE,CFEE,PTC,PTR": "Fees",
    "CSD,CSW,TRANS,JNL,JNLC,ACATC,OCT": "Deposits and withdrawals",
    "ACATS,FOPT,JNLS": "Transfers of shares",
    "OPASN,OPEXC,OPEXP,OPTRD,OPCSH,OPCA": "Option events",
    "SPLIT,SPIN,MA,NC,REO,REORG": "Corporate actions",
}

ACTIVITY_NAMES: Final[Mapping[str, str]] = {
    "FILL": "Trade",
    "TRANS": "Cash transfer",
    "MISC": "Miscellaneous",
    "ACATC": "Account transfer, cash",
    "ACATS": "Account transfer, securities",
    "CFEE": "Crypto fee",
    "CGD": "Capital gains distribution",
    "CSD": "Deposit",
    "CSW": "Withdrawal",
    "CSR": "Cash receipt",
    "DIV": "Dividend",
    "DIVCGL": "Dividend, long-term capital gain",
    "DIVCGS": "Dividend, short-term capital gain",
    "DIVFEE": "Dividend fee",
    "DIVFT": "Dividend, foreign tax withheld",
    "DIVNRA": "Dividend, non-resident tax withheld",
    "DIVROC": "Dividend, return of capital",
    "DIVTW": "Dividend, backup tax withheld",
    "DIVTXEX": "Dividend, tax-exempt",
    "DIVWH": "Dividend, tax withheld",
    "EXTRD": "External trade",
    "FEE": "Fee",
    "FIMAT": "Bond maturity",
    "FOPT": "Free-of-payment transfer",
    "FXCNV": "Currency conversion",
    "FXTRD": "Currency trade",
    "INT": "Interest",
    "INTNRA": "Interest, non-resident tax withheld",
    "INTTW": "Interest, backup tax withheld",
    "JNL": "Journal entry",
    "JNLC": "Cash journal",
    "JNLS": "Stock journal",
    "MA": "Merger or acquisition",
    "MEM": "Memo",
    "NC": "Name change",
    "OCT": "Blockchain transfer",
    "OPASN": "Option assignment",
    "OPCA": "Option corporate action",
    "OPCSH": "Option cash settlement",
    "OPEXC": "Option exercise",
    "OPEXP": "Option expiration",
    "OPTRD": "Option delivery",
    "PTC": "Pass-through charge",
    "PTR": "Pass-through rebate",
    "REO": "Reorganization",
    "REORG": "Worthless removal",
    "SC": "Symbol change",
    "SPIN": "Spin-off",
    "SPLIT": "Stock split",
    "SSO": "Spin-off",
    "SSP": "Stock split",
    "SWP": "Cash sweep",
    "VOF": "Voluntary offering",
    "WH": "Tax withheld",
}

# Those of option corporate actions begin with the type of the action: `DIV.CDIV`.
_SUB_TYPE_NAMES: Final[Mapping[str, str]] = {
    "LTCG": "long-term capital gain",
    "STCG": "short-term capital gain",
    "CDIV": "cash dividend",
    "ROC": "return of capital",
    "SDIV": "stock dividend",
    "SPD": "payment in lieu of dividend",
    "REG": "regulatory fee",
    "TAF": "trading activity fee",
    "LCT": "local currency trading fee",
    "ORF": "options regulatory fee",
    "OCC": "options clearing fee",
    "NRC": "non-retail commission",
    "NRV": "non-retail venue fee",
    "COM": "commission",
    "CAT": "consolidated audit trail fee",
    "MGN": "margin interest",
    "CDT": "credit interest",
    "SWP": "sweep interest",
    "QII": "qualified interest",
    "FI": "bond interest",
    "CMA": "for cash",
    "SMA": "for stock",
    "SCMA": "for stock and cash",
    "SNC": "symbol",
    "CNC": "CUSIP",
    "SCNC": "symbol and CUSIP",
    "SPIN": "spin-off",
    "REOS": "for stock",
    "REOC": "for cash",
    "REOSC": "for stock and cash",
    "WRM": "worthless removal",
    "FSPLIT": "forward split",
    "RSPLIT": "reverse split",
    "USPLIT": "unit split",
    "VTND": "tender offer",
    "VWRT": "warrant exercise",
    "VRGT": "rights offer",
    "VEXH": "exchange offer",
    "SWH": "state",
    "FWH": "federal",
    "SLWH": "sales",
}
_ACTIONS_OF_OPTIONS: Final[Mapping[str, str]] = {"MA": "merger", "NC": "name change"}
_WORD_BREAK: Final = re.compile(r"[._]+")


def activity_name(code: str) -> str:
    """Returns the activity type in words; a type that Alpaca adds later as its code, or as words if it has several."""
    return ACTIVITY_NAMES.get(code) or _unknown(code)


def sub_type_name(code: str) -> str:
    """Returns the sub type in words: `cash dividend` for `CDIV` and for `DIV.CDIV`, `merger for cash` for `MA.CMA`."""
    action, _, rest = code.rpartition(".")
    name = _SUB_TYPE_NAMES.get(rest) or _unknown(rest)
    return f"{_ACTIONS_OF_OPTIONS[action]} {name}" if action in _ACTIONS_OF_OPTIONS else name


def trade_name(fill: TradeActivityResponse) -> str:
    """Returns `Bought`, `Sold` or `Sold short`."""
    side = fill.side.replace("_", " ")
    return {"buy": "Bought", "sell": "Sold", "sell short": "Sold short"}.get(side, side.capitalize())


def trade_amount(fill: TradeActivityResponse) -> str | None:
    """Returns the money of a fill, exactly: negative if it was paid. Fees are activities of their own.

    None for a contract that was adjusted after a split or merger: its symbol does not say how many shares it has.
    """
    contract = parse_option(fill.symbol)
    multiplier = contract.multiplier if contract else 1
    if multiplier is None:
        return None
    size = _EXACT.multiply(_EXACT.multiply(Decimal(fill.qty), Decimal(fill.price)), Decimal(multiplier))
    return f"{_EXACT.minus(size) if fill.side.startswith('buy') else size:f}"


def amount_currency(activity: TradeActivityResponse | NonTradeActivityResponse, currency: str) -> str:
    """Returns the currency of an activity's amount: for a pair like ETH/BTC it is BTC."""
    if isinstance(activity, NonTradeActivityResponse):
        return activity.currency or currency
    return quote_currency(activity.symbol, currency)


def has_coin_digits(currency: str) -> bool:
    """Whether amounts in the currency have more digits than money has."""
    return currency in _COIN_CURRENCIES


def _unknown(code: str) -> str:
    words = _WORD_BREAK.sub(" ", code).strip()
    is_code = " " not in words and len(words) <= _LONGEST_CODE
    return words if is_code else words.capitalize()
