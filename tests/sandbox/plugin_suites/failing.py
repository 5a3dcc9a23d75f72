"""A test that fails, for its report."""

import requests

from corral_sandbox import AlpacaAccount, AlpacaFaults, AlpacaPrices


def test_that_fails(alpaca_account: AlpacaAccount, alpaca_prices: AlpacaPrices, alpaca_faults: AlpacaFaults) -> None:
    alpaca_account.set(cash="1000", positions=[{"symbol": "AAPL", "qty": "2", "avg_entry_price": "240"}])
    alpaca_prices.set(AAPL="250")
    alpaca_faults.add(path="/v2/positions", status=503)
    paths = [*["account"] * 10, "positions?x=1"]
    answers = [
        requests.get(f"{alpaca_account.base_url}/v2/{path}", headers=alpaca_account.headers, timeout=30)
        for path in paths
    ]
    assert answers[-1].json() == []
