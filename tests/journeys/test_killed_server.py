"""The server is killed in the middle of everything, and stopped in the middle of a request."""

import asyncio
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientError, ClientSession

from corral.credentials.management import MOST_CREDENTIALS
from tests.alpaca.upstream import ACCOUNT, Visit, upstream
from tests.alpaca.upstream import answer as answer_with
from tests.journeys.program import PATIENCE, corral, running
from tests.journeys.test_doctor import CHECKS
from tests.journeys.test_serve import processes_of
from tests.people import key_pair, live_key, paper_key

KILLS = 6
TALKERS = 8
ENOUGH = MOST_CREDENTIALS // 4  # from here on each is deleted again: a fast machine never meets the limit of one person


class Ledger:
    """The responses that clients got, to be compared with the state after the crash."""

    def __init__(self) -> None:
        self.there: dict[str, str] = {}  # id -> nickname: acknowledged, and not deleted since
        self.gone: set[str] = set()
        self.unknown: set[str] = set()  # a change of theirs was under way when the server died

    def refute(self, items: list[dict[str, Any]]) -> None:
        found = {item["id"]: item["nickname"] for item in items}
        for credential_id, nickname in self.there.items():
            if credential_id not in self.unknown:
                assert found[credential_id] == nickname
        assert not found.keys() & self.gone, "what was deleted stays deleted"


async def change_things(client: ClientSession, ledger: Ledger) -> None:
    """Stores, renames, replaces keys and deletes until the server is gone."""
    while True:
        key_id = random.choice((paper_key, live_key))()
        async with client.post("/api/credentials", json={"nickname": "new", **key_pair(key_id)}) as answer:
            if answer.status == 429:  # this person's checks of new keys are spent for the minute
                return
            assert answer.status == 201, await answer.text()
            credential_id = (await answer.json())["id"]
        ledger.there[credential_id] = "new"
        ledger.unknown.add(credential_id)
        change = {"nickname": f"renamed {key_id[-4:]}", **key_pair(key_id)}
        async with client.patch(f"/api/credentials/{credential_id}", json=change) as answer:
            if answer.status == 429:
                return
            assert answer.status == 200, await answer.text()
        ledger.there[credential_id] = change["nickname"]
        if random.random() < 0.5 or len(ledger.there) > ENOUGH:
            async with client.delete(f"/api/credentials/{credential_id}") as answer:
                assert answer.status == 204
            del ledger.there[credential_id]
            ledger.gone.add(credential_id)
        ledger.unknown.discard(credential_id)


async def test_a_server_killed_during_changes_leaves_no_partial_change(
    data: Path, against_sandbox: dict[str, str]
) -> None:
    settings = {**against_sandbox, "data_dir": data}
    token, ledger = "", Ledger()
    for round_ in range(KILLS):
        async with running("serve", **settings) as server:
            url = await server.url()
            if not token:
                token = await token_of_alice(settings)
            async with ClientSession(url, headers={"Authorization": f"Bearer {token}"}) as client:
                async with client.get("/api/credentials") as answer:
                    ledger.refute((await answer.json())["items"])
                storm = [asyncio.create_task(change_things(client, ledger)) for _ in range(TALKERS)]
                await asyncio.sleep(random.uniform(0.05, 0.6))
                # On a busy machine nothing may be there by then.
                while not (ledger.there or all(one.done() for one in storm)):  # noqa: ASYNC110 - the next change will do
                    await asyncio.sleep(0.05)
                server.process.kill()
                await server.ends()
                ended = await asyncio.gather(*storm, return_exceptions=True)
            assert all(one is None or isinstance(one, ClientError) for one in ended), ended
            assert "error" not in server.err, f"round {round_}"
    assert ledger.there
    examined = await corral("doctor", **settings)
    assert (examined.status, "✗" in examined.out) == (0, False), examined
    assert examined.out.count("✓") == len(CHECKS)
    assert processes_of(data) == []


class AnswersWhenTold:
    """An Alpaca that accepts keys at once, and delays later responses until the test releases them."""

    def __init__(self) -> None:
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def __call__(self, visit: Visit) -> None:
        if visit.number > 1:
            self.is_asked.set()
            await self.may_answer.wait()
        await answer_with(ACCOUNT)(visit)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_stopping_server_finishes_requests_in_progress_and_accepts_no_more(
    how: signal.Signals, data: Path, against_sandbox: dict[str, str]
) -> None:
    alpaca = AnswersWhenTold()
    async with upstream(alpaca) as paper:
        settings = {**against_sandbox, "alpaca_paper_url": paper.url, "data_dir": data}
        async with running("serve", **settings) as server:
            headers = {"Authorization": f"Bearer {await token_of_alice(settings)}"}
            async with ClientSession(await server.url(), headers=headers) as client:
                async with client.post("/api/credentials", json={"nickname": "x", **key_pair(paper_key())}) as answer:
                    credential_id = (await answer.json())["id"]
                asked = asyncio.create_task(status_of(client, f"/api/credentials/{credential_id}/account-data"))
                await alpaca.is_asked.wait()
                server.process.send_signal(how)
                await until_no_more_are_taken(await server.url())
                assert not asked.done()
                alpaca.may_answer.set()
                assert await asked == 200
            assert await server.ends() == 0
            assert processes_of(data) == []
            assert "Traceback" not in server.err


async def status_of(client: ClientSession, path: str) -> int:
    async with client.get(path) as answer:
        await answer.read()
        return answer.status


async def until_no_more_are_taken(url: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with ClientSession(url) as late:
                    await status_of(late, "/healthz")
            except ClientConnectionError:
                return


@pytest.mark.usefixtures("executed")
async def test_a_server_stopped_during_startup_leaves_nothing_running(
    data: Path, against_sandbox: dict[str, str]
) -> None:
    for seconds in (0.8, 1.2, 1.6):
        async with running("serve", data_dir=data, **against_sandbox) as server:
            await asyncio.sleep(seconds)
            assert await server.stop() in {0, -signal.SIGTERM}  # the latter before Python has come as far as our code
            assert "Traceback" not in server.err
        assert processes_of(data) == []


async def token_of_alice(settings: dict[str, Any]) -> str:
    assert (await corral("users", "add", "alice@corral.example", **settings)).status == 0
    return (await corral("tokens", "create", "alice@corral.example", "--name", "x", **settings)).out.strip()
