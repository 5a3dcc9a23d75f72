"""What customers may set about their own accounts."""

from dataclasses import dataclass


@dataclass(slots=True)
class Configurations:
    """As Alpaca's account configurations name them; without a `max_options_trading_level` the account's own holds."""

    disable_overnight_trading: bool = False
    fractional_trading: bool = True
    max_margin_multiplier: str = "4"
    max_options_trading_level: int | None = None
    no_shorting: bool = False
    ptp_no_exception_entry: bool = False
    suspend_trade: bool = False
    trade_confirm_email: str = "all"
