"""Whether the market is open. Source: `GET /v2/clock`, https://docs.alpaca.markets/openapi/trading-api.json."""

from dataclasses import dataclass

from corral.alpaca.reading import flag, moment, read_object, required


@dataclass(frozen=True, slots=True)
class MarketClock:
    """Times in UTC, where Alpaca writes New York's."""

    timestamp: str
    is_open: bool
    next_open: str
    next_close: str


def read_clock(body: bytes) -> MarketClock:
    """Raises WrongShape for what is not a clock."""
    fields = read_object(body)
    return MarketClock(
        timestamp=required(moment, fields, "timestamp"),
        is_open=required(flag, fields, "is_open"),
        next_open=required(moment, fields, "next_open"),
        next_close=required(moment, fields, "next_close"),
    )
