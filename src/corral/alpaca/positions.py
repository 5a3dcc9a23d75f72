"""Positions as Alpaca describes them. Source: `GET /v2/positions`, https://docs.alpaca.markets/openapi/trading-api.json."""

from dataclasses import dataclass

from corral.alpaca.reading import Fields, decimal, flag, present, read_list, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Decimals are texts, digit for digit. Short positions have a negative `qty` and `market_value`.

    `…_plpc` and `change_today` are factors: 0.0084 is 0.84 %.
    """

    asset_id: str
    symbol: str
    exchange: str | None
    asset_class: str | None
    asset_marginable: bool | None
    side: str
    qty: str
    qty_available: str | None
    avg_entry_price: str | None
    market_value: str | None
    cost_basis: str | None
    unrealized_pl: str | None
    unrealized_plpc: str | None
    unrealized_intraday_pl: str | None
    unrealized_intraday_plpc: str | None
    current_price: str | None
    lastday_price: str | None
    change_today: str | None


def read_positions(body: bytes) -> tuple[Position, ...]:
    """Reads the body of `GET /v2/positions`, which knows no pages. Raises WrongShape if one position in it is none."""
    return read_list(body, read_position)


def read_position(fields: Fields) -> Position:
    """Raises WrongShape without an asset, a symbol, a side or a quantity, and for nonsense."""
    return Position(
        asset_id=present(text(fields, "asset_id")),
        symbol=present(text(fields, "symbol")),
        exchange=text(fields, "exchange") or None,  # "" for some
        asset_class=text(fields, "asset_class"),
        asset_marginable=flag(fields, "asset_marginable"),
        side=present(text(fields, "side")),
        qty=present(decimal(fields, "qty")),
        qty_available=decimal(fields, "qty_available"),
        avg_entry_price=decimal(fields, "avg_entry_price"),
        market_value=decimal(fields, "market_value"),
        cost_basis=decimal(fields, "cost_basis"),
        unrealized_pl=decimal(fields, "unrealized_pl"),
        unrealized_plpc=decimal(fields, "unrealized_plpc"),
        unrealized_intraday_pl=decimal(fields, "unrealized_intraday_pl"),
        unrealized_intraday_plpc=decimal(fields, "unrealized_intraday_plpc"),
        current_price=decimal(fields, "current_price"),
        lastday_price=decimal(fields, "lastday_price"),
        change_today=decimal(fields, "change_today"),
    )
