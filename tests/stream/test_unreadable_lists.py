"""A list that cannot be read never stops the other reads, and what is missing from it is never taken for gone."""

import pytest

from tests.accounts.alpaca_lists import POSITION, order
from tests.conftest import Faults
from tests.people import Person, paper_key
from tests.stream.sse_client import listening_to

_APPLE = {**POSITION, "asset_id": "apple", "symbol": "AAPL", "qty": "20", "side": "long"}
_TESLA = {**POSITION, "asset_id": "tesla", "symbol": "TSLA", "qty": "5", "side": "long"}


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v2/orders", [order(1, id=None)], "orders_unavailable"),
        ("/v2/orders", {"orders": []}, "orders_unavailable"),
        ("/v2/positions", [{**_APPLE, "symbol": None}], "positions_unavailable"),
    ],
)
async def test_an_unreadable_list_does_not_stop_the_others_and_the_account(
    alice: Person, bob: Person, faults: Faults, path: str, body: object, code: str
) -> None:
    key_id = paper_key()
    hers = await alice.store(key_id)
    await bob.store()
    good = {"/v2/positions": [_APPLE], "/v2/orders": [order(1, status="new")]}
    other = next(each for each in good if each != path)
    broken: dict[str, object] = {"key_id": key_id, "path": path, "body": body}
    await faults.set_all([broken, {"key_id": key_id, "path": other, "body": good[other]}])
    async with listening_to(alice.client) as sse:
        await sse.until("problem", credential_id=hers["id"], code=code, resolved=False)
        # Something changes in what can be read, twice, and is sent while the one list still cannot be read.
        for cash in ("1000", "2000"):
            account: dict[str, object] = {"key_id": key_id, "path": "/v2/account", "account_raw": {"cash": f'"{cash}"'}}
            await faults.set_all([broken, account])
            await sse.until("account-data", credential_id=hers["id"], balance=cash)
        assert [event.data["code"] for event in sse.of("problem")] == [code]
        await faults.clear()
        await sse.until("problem", credential_id=hers["id"], code=code, resolved=True)
        assert len(sse.of("problem")) == 2


async def test_a_position_that_cannot_be_read_is_stale_and_not_closed(
    alice: Person, bob: Person, faults: Faults
) -> None:
    key_id = paper_key()
    hers = await alice.store(key_id)
    await bob.store()
    await faults.set(key_id, path="/v2/positions", body=[_APPLE, _TESLA])
    async with listening_to(alice.client) as sse:
        await sse.until("position", symbol="TSLA", qty="5", stale=False)
        await faults.set(key_id, path="/v2/positions", body=[{**_APPLE, "qty": "21"}, {**_TESLA, "qty": "?"}])
        await sse.until("problem", credential_id=hers["id"], code="positions_unreadable", resolved=False)
        await sse.until("position", symbol="AAPL", qty="21", stale=False)
        await sse.until("position", symbol="TSLA", qty="5", stale=True)
        async with listening_to(alice.client) as fresh:
            await fresh.until("position", symbol="TSLA", qty="5", stale=True)
        await faults.set(key_id, path="/v2/positions", body=[{**_APPLE, "qty": "21"}, _TESLA])
        await sse.until("position", symbol="TSLA", qty="5", stale=False)
        await sse.until("problem", code="positions_unreadable", resolved=True)
        await faults.set(key_id, path="/v2/positions", body=[{**_APPLE, "qty": "21"}])
        await sse.until("position", symbol="TSLA", qty="0", stale=False)


async def test_an_unreadable_order_is_one_problem_and_the_others_are_sent(
    alice: Person, bob: Person, faults: Faults
) -> None:
    key_id = paper_key()
    hers = await alice.store(key_id)
    await bob.store()
    await faults.set(key_id, path="/v2/orders", body=[])
    async with listening_to(alice.client) as sse:
        await sse.until("heartbeat")
        await sse.until("account-data", credential_id=hers["id"])
        await faults.set(key_id, path="/v2/orders", body=[order(1, filled_qty="7"), order(2, qty="?"), order(3)])
        await sse.until("problem", credential_id=hers["id"], code="orders_unreadable", resolved=False)
        await faults.set(key_id, path="/v2/orders", body=[order(1, filled_qty="7"), order(2), order(3)])
        await sse.until("problem", credential_id=hers["id"], code="orders_unreadable", resolved=True)
        assert len(sse.of("problem")) == 2
