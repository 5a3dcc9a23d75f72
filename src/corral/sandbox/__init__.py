"""An Alpaca-compatible broker of our own, for tests and for trying Corral without an account.

Every key id that looks like Alpaca's (PK… for paper, AK… for live) is an account, whose state follows
from the seed and the key id, and whose numbers follow prices that move. Imports nothing else of Corral.

    server         the door: HTTP, the way through it
    keys           who asks                    rate_limit       how often
    trading_api    which page answers          account_page, market_clock    the pages
    opening        how an account begins       margin           what it is worth and may buy
    market         symbols and prices          trading_calendar when New York trades
    faults         what shall go wrong         fault_answers, delivery       and how it does
    control        what tests ask for          request_counts   who came how often
"""

from corral.sandbox.keys import secret_of
from corral.sandbox.server import Sandbox, serve_sandbox

__all__ = ["Sandbox", "secret_of", "serve_sandbox"]
