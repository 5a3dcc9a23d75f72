"""Fifty accounts on one page: Corral's overview beside a loop over Alpaca's SDK."""

from dataclasses import dataclass

from benchmarks.accounts import ACCOUNTS_ON_A_PAGE, Owner
from benchmarks.load import Job, Question, Report, Window

_WINDOW = Window(warm_up=2, measured=5)


@dataclass(frozen=True, slots=True)
class OverviewFigures:
    """`page` is one client that asks for the whole page, again and again; nothing is kept from one to the next."""

    page: Report
    loop_seconds: float


def page_job(reader: Owner, *, url: str, server_pid: int) -> Job:
    question = Question(
        path="/api/overview", token=reader.token, expected=f'"accounts":{ACCOUNTS_ON_A_PAGE},"missing":0'
    )
    return Job(url=url, server_pid=server_pid, clients=1, questions=[question], window=_WINDOW)
