"""Measures Corral beside the obvious ways to do without it, in one run: `python -m benchmarks`.

Every part runs in a process of its own, so that what the server costs is not mixed up with what it
costs to ask it: the sandbox (80 ms, no rate limit), PostgreSQL, the one server under measure, the load.

    __main__         the run                        report     the table, the targets
    variants         what is compared               memory     what an idle account costs
    accounts         a thousand, stored ready       processes  children, over their pipes
    servers          what is measured: a child      load       the clients: a child
    plan_as_written  Alpaca's SDK in `async def`    sdk_loop   and one account after the other: a child
    overview         fifty accounts on one page     streams    two thousand, listened to
    cards            thirty accounts on the page    listening  the listeners: a child
    gateway          beside Alpaca itself           steady     requests at a steady rate: a child
    audit            orders written down            sandbox    the sandbox itself

`python -m benchmarks.soak` stands apart: minutes of trading with faults, and at the end the sums must fit.
"""
