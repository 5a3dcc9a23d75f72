import json
from typing import Any, cast

import pytest

from corral.alpaca.environments import Environment
from corral.alpaca.models import Account, read_account
from corral.web.view.account_details import describe_account, detail_amounts
from tests.alpaca.upstream import account


def read(**changes: Any) -> Account:  # noqa: ANN401 - whatever stands in Alpaca's answer
    return cast("Account", read_account(json.dumps(account(**changes)).encode()))


def test_missing_fields_and_empty_groups_are_left_out() -> None:
    details = describe_account(read(sma="0", regt_buying_power=None), Environment.PAPER)
    assert {title: [one.key for one in group] for title, group in details.amounts.items()} == {"Margin": ["sma"]}
    assert detail_amounts(read(sma="0.10", accrued_fees="1")) == {"sma": "0.10", "accrued_fees": "1"}
    assert detail_amounts(read()) == {}


@pytest.mark.parametrize(
    ("changes", "label", "text"),
    [
        ({"account_number": "PA1"}, "Account number", "PA1"),
        ({"multiplier": "1"}, "Type", "Live, cash"),
        ({"multiplier": "4"}, "Type", "Live, margin 4\N{MULTIPLICATION SIGN}"),
        ({"multiplier": None}, "Type", "Live"),
        ({"currency": "EUR"}, "Currency", "EUR"),
        ({"status": "ACTION_REQUIRED"}, "Status", "action required"),
        ({"created_at": "2024-01-05T14:30:00.123456Z"}, "Opened", "Jan 5, 2024"),
        ({"shorting_enabled": True}, "Short selling", "enabled"),
        ({"shorting_enabled": False}, "Short selling", "disabled"),
        ({"options_trading_level": 0, "options_approved_level": 0}, "Options", "off"),
        ({"options_trading_level": 2}, "Options", "level 2"),
        ({"options_trading_level": 1, "options_approved_level": 3}, "Options", "level 1, approved for level 3"),
        ({"crypto_status": "ACTIVE"}, "Crypto", "active"),
        ({"account_number": None}, "Account number", None),
        ({"status": None}, "Status", None),
        ({"shorting_enabled": "perhaps"}, "Short selling", None),
    ],
)
def test_facts_have_readable_labels_and_values(changes: dict[str, object], label: str, text: str | None) -> None:
    assert describe_account(read(**changes), Environment.LIVE).facts.get(label) == text
