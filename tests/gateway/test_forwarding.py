from aiohttp import ClientSession

from tests.conftest import Service
from tests.grants.conftest import GrantOwner

pytest_plugins = ["tests.grants.conftest"]


async def test_it(carol: GrantOwner, service: Service) -> None:
    grant = await carol.grant(access="trade")
    print(grant)
    headers = {"APCA-API-KEY-ID": grant["key_id"], "APCA-API-SECRET-KEY": grant["secret_key"]}
    async with ClientSession(service.url, headers=headers) as client:
        for m, path, js in [
            ("GET", "/alpaca/v2/account", None),
            ("GET", "/alpaca//v2/positions", None),
            ("GET", "/alpaca/data/v2/stocks/AAPL/bars?timeframe=1Day&limit=2", None),
            ("POST", "/alpaca/v2/orders", {"symbol": "AAPL", "qty": 1, "side": "buy", "type": "market", "time_in_force": "day"}),
            ("DELETE", "/alpaca/v2/orders", None),
            ("DELETE", "/alpaca/v2/positions/AAPL", None),
            ("GET", "/alpaca/v2/wallets", None),
            ("HEAD", "/alpaca/v2/account", None),
            ("GET", "/alpaca/v2/nothing", None),
        ]:
            async with client.request(m, path, json=js) as answer:
                print(m, path, answer.status, dict(answer.headers), (await answer.read())[:300])
    async with ClientSession(service.url) as client, client.get("/alpaca/v2/account") as answer:
        print(answer.status, await answer.text())
    print(await carol.ask("GET", "/api/audit"))
    assert 0
