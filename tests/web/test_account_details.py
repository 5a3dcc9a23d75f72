import json
from typing import Any, cast

import pytest

from corral.alpaca.environments import Environment
from corral.alpaca.models import Account, read_account
from corral.web.account_details import details_of, figures_of
from tests.alpaca.upstream import account


def told(**changes: Any) -> Account:  # noqa: ANN401 - whatever stands in Alpaca's answer
    return cast("Account", read_account(json.dumps(account(**changes)).encode()))


def test_what_alpaca_does_not_say_has_no_line_and_an_empty_group_no_title() -> None:
    details = details_of(told(sma="0", regt_buying_power=None), Environment.PAPER)
    assert {title: [one.key for one in group] for title, group in details.figures.items()} == {"Margin": ["sma"]}
    assert figures_of(told(sma="0.10", accrued_fees="1")) == {"sma": "0.10", "accrued_fees": "1"}
    assert figures_of(told()) == {}


@pytest.mark.parametrize(
    ("changes", "label", "words"),
    [
        ({"account_number": "PA1"}, "Number", "PA1"),
        ({"multiplier": "1"}, "Kind", "Live, cash"),
        ({"multiplier": "4"}, "Kind", "Live, margin 4\N{MULTIPLICATION SIGN}"),
        ({"multiplier": None}, "Kind", "Live"),
        ({"currency": "EUR"}, "Currency", "EUR"),
        ({"status": "ACTION_REQUIRED"}, "Status", "action required"),
        ({"created_at": "2026-01-05T14:30:00.123456Z"}, "Open since", "2026-01-05"),
        ({"shorting_enabled": True}, "Short selling", "allowed"),
        ({"shorting_enabled": False}, "Short selling", "not allowed"),
        ({"options_trading_level": 0, "options_approved_level": 0}, "Options", "off"),
        ({"options_trading_level": 2}, "Options", "level 2"),
        ({"options_trading_level": 1, "options_approved_level": 3}, "Options", "level 1, approved for 3"),
        ({"crypto_status": "ACTIVE"}, "Crypto", "active"),
        ({"account_number": None}, "Number", None),
        ({"status": None}, "Status", None),
        ({"shorting_enabled": "perhaps"}, "Short selling", None),
    ],
)
def test_facts_are_told_in_words(changes: dict[str, object], label: str, words: str | None) -> None:
    assert details_of(told(**changes), Environment.LIVE).facts.get(label) == words
