"""What customers may set about their own accounts, and what that makes of an account."""

from dataclasses import asdict, dataclass, replace

from corral_sandbox.opening import Account


@dataclass(frozen=True, slots=True)
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

    def document(self) -> dict[str, object]:
        """Answers seven fields always: Alpaca's SDK for Python cannot do without. A null fails Alpaca's schema."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def opening_configurations(account: Account) -> Configurations:
    return Configurations(suspend_trade=bool(account.profile["trade_suspended_by_user"]))


def configured(opened: Account, configurations: Configurations) -> Account:
    """Answers the account as it opened, but under these configurations: they may narrow what it may do, not widen."""
    multiplier = min(opened.multiplier, int(configurations.max_margin_multiplier))
    approved, wanted = opened.profile["options_approved_level"], configurations.max_options_trading_level
    return replace(
        opened,
        multiplier=multiplier,
        profile={
            **opened.profile,
            "multiplier": str(multiplier),
            "options_trading_level": approved if wanted is None else min(int(str(approved)), wanted),
            "shorting_enabled": multiplier > 1 and not configurations.no_shorting,
            "trade_suspended_by_user": configurations.suspend_trade,
        },
    )
