"""The exchanges of New York, whose hours the third version of Alpaca's clock and calendar tells."""

from corral_sandbox.answers import Refused

_MARKETS = (("NASDAQ", "XNAS", "Nasdaq Stock Market"), ("NYSE", "XNYS", "New York Stock Exchange"))
MARKETS: dict[str, dict[str, object]] = {
    acronym: {"acronym": acronym, "mic": mic, "name": name, "timezone": "America/New_York"}
    for acronym, mic, name in _MARKETS
}
_BY_CODE = MARKETS | {mic: MARKETS[acronym] for acronym, mic, _ in _MARKETS}


def find_market(code: str) -> dict[str, object]:
    """Answers by acronym or market identifier code; others than these two exchanges are a 400."""
    market = _BY_CODE.get(code)
    if market is None:
        raise Refused(400, f"invalid market: {code} is not one of {', '.join(_BY_CODE)}", code=40010000)
    return market
