"""Whatever an account has been through, what GET returns of it can be put back."""

from typing import Any

import orjson
from hypothesis import assume, given, settings

from corral_sandbox.control.accounts import AccountsControl
from corral_sandbox.errors import ApiError
from corral_sandbox.market.time import Clock
from tests.sandbox.broker import Broker
from tests.sandbox.test_trading_laws import RUNS, Run, do

_FIGURES = ("equity", "long_market_value", "short_market_value", "regt_buying_power", "options_buying_power")


@given(RUNS)
@settings(deadline=None, max_examples=80)
def test_an_account_that_has_traded_can_be_put_back(run: Run) -> None:
    key_id, seed, at, steps = run
    broker = Broker(key_id, at=at, seed=seed)
    for step in steps:
        do(broker, step)
    control = AccountsControl(broker.api.accounts, Clock(real=lambda: broker.now))
    told: dict[str, Any] = control.state(key_id)

    refusal = _refusal(control, key_id, {**told, "orders": []})
    # Two sales at once may leave a fraction short, and an assignment an uncovered call, which no account begins with.
    assume(refusal is None or not refusal.startswith("positions"))
    assert refusal is None
    again: dict[str, Any] = control.state(key_id)
    assert [again["derived"][name] for name in _FIGURES] == [told["derived"][name] for name in _FIGURES]
    assert {**again, "orders": told["orders"], "derived": told["derived"]} == told

    refusal = _refusal(control, key_id, told)
    if refusal is not None:  # two orders may be open that could not be placed one after the other today
        assert refusal.startswith("orders.")
        assert control.state(key_id) == again


def _refusal(control: AccountsControl, key_id: str, state: object) -> str | None:
    try:
        control.put(key_id, orjson.dumps(state))
    except ApiError as error:
        return str(error)
    return None
