"""alpaca-mcp-server 2.4.0, over its stdio protocol, as an assistant starts it.

`DATA_API_URL` points market data at the sandbox. At fault in the server: the address of trading is fixed to
paper-api.alpaca.markets or api.alpaca.markets. It goes through a proxy here, which the server's HTTP library takes from
`HTTPS_PROXY`; `SSL_CERT_FILE` makes it trust the proxy's certificate.
"""

import asyncio
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

mcp: Any = import_module("mcp")
stdio: Any = import_module("mcp.client.stdio")

SERVER = mcp.StdioServerParameters(
    command=str(Path(sys.executable).with_name("alpaca-mcp-server")),
    env={
        "ALPACA_API_KEY": os.environ["KEY_ID"],
        "ALPACA_SECRET_KEY": os.environ["SECRET"],
        "ALPACA_PAPER_TRADE": "true",
        "DATA_API_URL": os.environ["SANDBOX_URL"],
        "HTTPS_PROXY": os.environ["PROXY_URL"],
        "SSL_CERT_FILE": os.environ["CERTIFICATE"],
        "NO_PROXY": "127.0.0.1",
    },
)
WEEK = {"timeframe": "1Day", "start": "2026-11-16T00:00:00Z", "end": "2026-11-20T23:00:00Z"}
TEN_SECONDS = {"start": "2026-11-24T14:59:50Z", "end": "2026-11-24T14:59:59Z", "limit": 5}
US = {"loc": "us"}


def tell(name: str, *got: object) -> None:
    print(json.dumps({"name": name, "got": got}), flush=True)


class Assistant:
    def __init__(self, session: Any) -> None:
        self._session = session
        self.called: set[str] = set()

    async def call(self, tool: str, **arguments: object) -> Any:
        """Returns the data of a tool's answer, without the envelope around it."""
        self.called.add(tool)
        answer = await self._session.call_tool(tool, arguments)
        if answer.isError:
            raise RuntimeError(answer.content[0].text)
        data: Any = answer.structuredContent["data"]
        return data["result"] if list(data) == ["result"] else data  # lists are wrapped


async def use_accounts_and_assets(use: Any) -> None:
    account = await use("get_account_info")
    tell("account", float(account["cash"]), account["status"])
    tell("clock", (await use("get_clock"))["is_open"])
    days = await use("get_calendar", start="2026-11-25", end="2026-11-27")
    tell("calendar", [day["date"] for day in days])
    asset = await use("get_asset", symbol_or_asset_id="AAPL")
    tell("asset", asset["symbol"], asset["tradable"])
    coins = await use("get_all_assets", status="active", asset_class="crypto")
    tell("assets", "BTC/USD" in {each["symbol"] for each in coins})
    contracts = await use("get_option_contracts", underlying_symbols="AAPL", limit=3)
    tell("contracts", [contract["underlying_symbol"] for contract in contracts["option_contracts"]])
    symbol = contracts["option_contracts"][0]["symbol"]
    tell("contract", (await use("get_option_contract", symbol_or_id=symbol))["symbol"] == symbol)
    days = {"since": "2026-10-01", "until": "2026-12-20"}
    announced = await use("get_corporate_action_announcements", ca_types="dividend", **days)
    one = await use("get_corporate_action_announcement", id=announced[0]["id"])
    tell("announcement", one["initiating_symbol"] == announced[0]["initiating_symbol"])
    await use("update_account_config", no_shorting=True)
    tell("configurations", (await use("get_account_config"))["no_shorting"])


async def use_orders(use: Any) -> None:
    bought = await use("place_stock_order", symbol="AAPL", side="buy", qty="10")
    order = await use("get_order_by_id", order_id=bought["id"])
    tell("market order", order["status"], float(order["qty"]), float(order["filled_avg_price"]))
    mine = {"symbol": "AAPL", "side": "buy", "qty": "10", "type": "limit", "time_in_force": "gtc"}
    limit = await use("place_stock_order", **mine, limit_price="250", client_order_id="a-limit")
    again = await use("get_order_by_client_id", client_order_id="a-limit")
    tell("limit order", again["status"], float(again["limit_price"]))
    replaced = await use("replace_order_by_id", order_id=limit["id"], qty="9", limit_price="251")
    tell("replaced", replaced["replaces"] == limit["id"], float(replaced["limit_price"]), float(replaced["qty"]))
    await use("cancel_order_by_id", order_id=replaced["id"])
    tell("canceled", (await use("get_order_by_id", order_id=replaced["id"]))["status"])
    legs = {"take_profit_limit_price": "280", "stop_loss_stop_price": "250", "stop_loss_limit_price": "249"}
    bracket = await use("place_stock_order", **mine, limit_price="260", order_class="bracket", **legs)
    tell("bracket", bracket["order_class"], sorted(leg["type"] for leg in bracket["legs"]))
    tell("open orders", len(await use("get_orders", status="open", nested=True)))
    await use("cancel_all_orders")
    tell("all canceled", len(await use("get_orders", status="open")))
    coins = await use("place_crypto_order", symbol="BTC/USD", side="buy", qty="0.01")
    tell("coins", (await use("get_order_by_id", order_id=coins["id"]))["status"])
    (contract,) = (await use("get_option_contracts", underlying_symbols="KO", limit=1))["option_contracts"]
    option = await use("place_option_order", symbol=contract["symbol"], side="buy", qty="1", type="market")
    tell("option", (await use("get_order_by_id", order_id=option["id"]))["status"])
    await use("do_not_exercise_options_position", symbol_or_contract_id=contract["symbol"])
    await use("exercise_options_position", symbol_or_contract_id=contract["symbol"])
    tell("exercised", float((await use("get_open_position", symbol_or_asset_id="KO"))["qty"]))
    refused = await use("place_stock_order", symbol="AAPL", side="buy", qty="1000000")
    error = refused["error"]
    tell("refused", error["http_status"], error["detail"]["code"])


async def use_positions(use: Any) -> None:
    position = await use("get_open_position", symbol_or_asset_id="AAPL")
    tell("position", float(position["qty"]), float(position["avg_entry_price"]))
    closing = await use("close_position", symbol_or_asset_id="AAPL", qty="4")
    tell("close", closing["side"], float(closing["qty"]))
    await use("close_all_positions", cancel_orders=True)
    tell("all closed", len(await use("get_all_positions")))
    history = await use("get_portfolio_history", period="1M", timeframe="1D")
    tell("history", len(history["equity"]) == len(history["timestamp"]) > 10)
    fills = await use("get_account_activities_by_type", activity_type="FILL", direction="asc")
    tell("activities", [[fill["side"], float(fill["qty"])] for fill in fills if fill["symbol"] == "AAPL"])
    kinds = {each["activity_type"] for each in await use("get_account_activities", activity_types=["FILL", "CFEE"])}
    tell("activities by type", sorted(kinds))


async def use_watchlists(use: Any) -> None:
    created = await use("create_watchlist", name="mine", symbols=["AAPL"])
    mine = {"watchlist_id": created["id"]}
    await use("add_asset_to_watchlist_by_id", **mine, symbol="BTC/USD")
    tell("watchlist", [asset["symbol"] for asset in (await use("get_watchlist_by_id", **mine))["assets"]])
    await use("remove_asset_from_watchlist_by_id", **mine, symbol="AAPL")
    updated = await use("update_watchlist_by_id", **mine, name="ours", symbols=["KO"])
    tell("watchlist updated", updated["name"], [asset["symbol"] for asset in updated["assets"]])
    await use("delete_watchlist_by_id", **mine)
    tell("watchlists", len(await use("get_watchlists")))


async def use_market_data(use: Any) -> None:
    bars = (await use("get_stock_bars", symbols="AAPL", **WEEK))["bars"]["AAPL"]
    tell("bars", len(bars), all(bar["l"] <= min(bar["o"], bar["c"]) for bar in bars))
    tell("trades", len((await use("get_stock_trades", symbols="AAPL", **TEN_SECONDS))["trades"]["AAPL"]))
    quotes = (await use("get_stock_quotes", symbols="AAPL", **TEN_SECONDS))["quotes"]["AAPL"]
    tell("quotes", len(quotes), all(quote["bp"] < quote["ap"] for quote in quotes))
    tell("latest trade", (await use("get_stock_latest_trade", symbols="AAPL"))["trades"]["AAPL"]["p"])
    quote = (await use("get_stock_latest_quote", symbols="AAPL"))["quotes"]["AAPL"]
    tell("latest quote", quote["bp"] < 270 < quote["ap"])
    tell("latest bar", (await use("get_stock_latest_bar", symbols="AAPL"))["bars"]["AAPL"]["c"] > 0)
    tell("snapshot", (await use("get_stock_snapshot", symbols="AAPL,KO"))["AAPL"]["latestTrade"]["p"])
    tell("movers", (await use("get_market_movers", market_type="stocks"))["gainers"])
    tell("most actives", (await use("get_most_active_stocks", top=5))["most_actives"])
    tell("bonds", (await use("get_fixed_income_latest_quotes", isins="US912797SX61"))["quotes"])
    coins = (await use("get_crypto_bars", symbols="BTC/USD", **WEEK))["bars"]["BTC/USD"]
    tell("coin bars", len(coins))
    tell("coin trades", len((await use("get_crypto_trades", symbols="BTC/USD", **TEN_SECONDS))["trades"]["BTC/USD"]))
    quotes = (await use("get_crypto_quotes", symbols="BTC/USD", **TEN_SECONDS))["quotes"]["BTC/USD"]
    tell("coin quotes", len(quotes))
    quote = (await use("get_crypto_latest_quote", symbols="BTC/USD", **US))["quotes"]["BTC/USD"]
    tell("latest coin quote", quote["bp"] < 60_000 < quote["ap"])
    tell("latest coin bar", (await use("get_crypto_latest_bar", symbols="BTC/USD", **US))["bars"]["BTC/USD"]["c"] > 0)
    latest = await use("get_crypto_latest_trade", symbols="BTC/USD", **US)
    tell("latest coin trade", latest["trades"]["BTC/USD"]["p"])
    book = (await use("get_crypto_latest_orderbook", symbols="BTC/USD", **US))["orderbooks"]["BTC/USD"]
    tell("order book", book["b"][0]["p"] < book["a"][0]["p"])
    snapshots = await use("get_crypto_snapshot", symbols="BTC/USD", **US)
    tell("coin snapshot", snapshots["snapshots"]["BTC/USD"]["latestTrade"]["p"])
    chain = await use("get_option_chain", underlying_symbol="AAPL", limit=4)
    tell("chain", len(chain["snapshots"]))
    symbol = next(iter(chain["snapshots"]))
    option = await use("get_option_latest_quote", symbols=symbol)
    tell("option quote", option["quotes"][symbol]["bp"] <= option["quotes"][symbol]["ap"])
    tell("option trade", (await use("get_option_latest_trade", symbols=symbol))["trades"][symbol]["p"] > 0)
    snapshot = (await use("get_option_snapshot", symbols=symbol))["snapshots"][symbol]
    tell("option snapshot", snapshot["latestQuote"]["bp"] > 0)
    hours = {"timeframe": "1Hour", "start": "2026-11-23T00:00:00Z"}
    bars = (await use("get_option_bars", symbols=symbol, **hours))["bars"][symbol]
    tell("option bars", len(bars) > 0, all(bar["l"] <= bar["h"] for bar in bars))
    tell("option trades", len((await use("get_option_trades", symbols=symbol, limit=5))["trades"][symbol]))
    tell("option exchanges", len(await use("get_option_exchange_codes")) > 0)
    actions = await use("get_corporate_actions", symbols="AAPL", start="2026-01-01", end="2026-11-24")
    tell("corporate actions", isinstance(actions["corporate_actions"], dict))
    tell("news", len((await use("get_news", symbols="AAPL"))["news"]))


async def use_locates(use: Any) -> None:
    """Alpaca locates no shares for paper accounts, and says so; the tools report it as their error."""
    tell("locates", (await use("get_locates"))["locates"])
    tell("locate quotes", isinstance(await use("get_locate_quotes", symbols="AAPL"), dict))
    for tool, arguments in (
        ("create_locate", {"symbol": "AAPL", "qty": 100}),
        ("get_locate", {"locate_id": "00000000-0000-0000-0000-000000000000"}),
    ):
        try:
            await use(tool, **arguments)
        except RuntimeError as error:
            tell(tool, str(error).partition("'message': '")[2].partition("'")[0])


async def main() -> None:
    async with stdio.stdio_client(SERVER) as streams, mcp.ClientSession(*streams) as session:
        await session.initialize()
        tools = {tool.name for tool in (await session.list_tools()).tools}
        assistant = Assistant(session)
        use = assistant.call
        await use_accounts_and_assets(use)
        await use_orders(use)
        await use_positions(use)
        await use_watchlists(use)
        await use_market_data(use)
        await use_locates(use)
        tell("left out", sorted(tools - assistant.called))  # they read Alpaca's documentation on the internet


asyncio.run(main())
