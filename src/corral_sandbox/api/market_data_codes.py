"""The meta endpoints of market data: what exchange and condition codes mean."""

from typing import TypeVar

from corral_sandbox.api.market_data_query import DataRequest
from corral_sandbox.errors import EndpointNotFoundError

STOCK_EXCHANGES = {
    "A": "NYSE American (AMEX)",
    "B": "NASDAQ OMX BX",
    "C": "National Stock Exchange",
    "D": "FINRA ADF",
    "E": "Market Independent",
    "H": "MIAX",
    "I": "International Securities Exchange",
    "J": "Cboe EDGA",
    "K": "Cboe EDGX",
    "L": "Long Term Stock Exchange",
    "M": "Chicago Stock Exchange",
    "N": "New York Stock Exchange",
    "P": "NYSE Arca",
    "Q": "NASDAQ OMX",
    "S": "NASDAQ Small Cap",
    "T": "NASDAQ Int",
    "U": "Members Exchange",
    "V": "IEX",
    "W": "CBOE",
    "X": "NASDAQ OMX PSX",
    "Y": "Cboe BYX",
    "Z": "Cboe BZX",
}
OPTION_EXCHANGES = {"C": "CBOE", "N": "NYSE Arca"}
_STOCK_CONDITIONS = {
    "trade": {"A": {" ": "Regular Sale"}, "B": {" ": "Regular Sale"}, "C": {"@": "Regular Sale"}},
    "quote": {tape: {"R": "Regular Market Maker Open"} for tape in "ABC"},
}
_OPTION_CONDITIONS = {
    "trade": {"I": "AUTO - Transaction was executed electronically"},
    "quote": {"A": "Eligible for Automatic Execution"},
}


def stock_conditions(request: DataRequest) -> dict[str, object]:
    """Takes `tape` (required). The sandbox sends no other conditions than these."""
    request.required("tape")
    tape = request.choice("tape", "A", "B", "C")
    return {**_of_type(request, _STOCK_CONDITIONS)[tape]}


def option_conditions(request: DataRequest) -> dict[str, object]:
    return {**_of_type(request, _OPTION_CONDITIONS)}


_Table = TypeVar("_Table")


def _of_type(request: DataRequest, tables: dict[str, _Table]) -> _Table:
    name = request.path_parameters["type"]
    if name not in tables:
        raise EndpointNotFoundError
    return tables[name]
