"""An Alpaca-compatible broker of our own, for tests and for trying Corral without an account.

Every key id that looks like Alpaca's (PK… for paper, AK… for live) is an account, whose state follows
from the seed and the key id, and whose numbers follow prices that move. Imports nothing else of Corral.

    server, in_thread   the door: HTTP, the way through it
    keys                who asks                rate_limit       how often
    trading_api         which page answers      routes           by which path
    requests            what a page is asked    parameters       what that may be
    …_page, …_pages, market_clock, portfolio_history, announcements    the pages
    stream, stream_socket, stream_messages      the trading socket
    customers           what lasts as long as the run: configurations, watchlists, the book

    opening, opening_history                    how an account begins
    book                an account's orders     ledger           its cash and positions, at any time
    order_entry, order_rules, order_checks, option_checks, holds       whether an order is taken
    orders, order_making, leg_tickets, replacement                     what an order is
    matching            what happens to it next, and when              timetable        and that it does
    crossings, quotes, trading_hours            when a price gets where, and whether that counts
    settlement          how options end         margin, worth    what an account is worth and may buy

    listing, option_contracts, markets          what there is to trade
    market, mean_prices at what price
    clock               what time it is         trading_calendar when New York trades
    faults              what shall go wrong     fault_answers, delivery    and how it does
    control             what tests ask for      request_counts   who came how often
"""

from corral_sandbox.in_thread import run_sandbox
from corral_sandbox.keys import secret_of
from corral_sandbox.server import Sandbox, serve_sandbox

__all__ = ["Sandbox", "run_sandbox", "secret_of", "serve_sandbox"]
