"""One account after the other over Alpaca's SDK, as a script would do it: `python -m benchmarks.sdk_loop`.

A `Rounds` in, the seconds of the last round out. The clients are made and warm before that one: their
connections are open, as Corral's are.
"""

import sys
import time

from alpaca.trading.client import TradingClient
from alpaca.trading.models import TradeAccount
from pydantic import BaseModel

from corral_sandbox import secret_of


class Rounds(BaseModel):
    paper_url: str
    key_ids: list[str]
    rounds: int = 2


def seconds_of_last(work: Rounds) -> float:
    clients = [TradingClient(key_id, secret_of(key_id), url_override=work.paper_url) for key_id in work.key_ids]
    seconds = 0.0
    for _ in range(work.rounds):
        started = time.perf_counter()
        for client in clients:
            assert isinstance(client.get_account(), TradeAccount)
        seconds = time.perf_counter() - started
    return seconds


if __name__ == "__main__":
    print(seconds_of_last(Rounds.model_validate_json(sys.stdin.readline())), flush=True)
