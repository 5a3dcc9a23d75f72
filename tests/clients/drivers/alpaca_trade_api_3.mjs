// @alpacahq/alpaca-trade-api 3.1.3 for JavaScript.
//
// `baseUrl`, `dataBaseUrl` and `dataStreamUrl` point it at the sandbox. At fault in the client: it opens the streams of
// market data by wss only, whatever `dataStreamUrl` says, so they need TLS in front of the sandbox. `getOrders` without
// an argument works, but `getAccountActivities` needs one. It has no calls for option contracts; `sendRequest` has.
import Alpaca from "alpaca-trade-api-3";

const url = process.env.SANDBOX_URL;
const client = new Alpaca({
  keyId: process.env.KEY_ID,
  secretKey: process.env.SECRET,
  baseUrl: `${url}/paper`,
  dataBaseUrl: url,
  dataStreamUrl: process.env.SANDBOX_TLS_URL,
  feed: "iex",
});
const used = new Set();
const alpaca = new Proxy(client, { get: (target, name) => (used.add(name), target[name]) });
const week = { start: "2026-11-16", end: "2026-11-20T23:00:00Z" };
const tenSeconds = { start: "2026-11-24T14:59:50Z", end: "2026-11-24T14:59:59Z", limit: 5 };

const tell = (name, ...got) => console.log(JSON.stringify({ name, got }));
const symbols = (assets) => assets.map((asset) => asset.symbol);
const all = async (found) => {
  const items = [];
  for await (const item of found) items.push(item);
  return items;
};

async function useAccountsAndAssets() {
  const account = await alpaca.getAccount();
  tell("account", Number(account.cash), account.status);
  const byToken = new Alpaca({ oauth: process.env.TOKEN, baseUrl: `${url}/paper` });
  tell("by token", (await byToken.getAccount()).status);
  await alpaca.updateAccountConfigurations({ no_shorting: true });
  tell("configurations", (await alpaca.getAccountConfigurations()).no_shorting);
  tell("clock", (await alpaca.getClock()).is_open);
  const days = await alpaca.getCalendar({ start: new Date("2026-11-25"), end: new Date("2026-11-27") });
  tell("calendar", days.map((day) => day.date));
  const asset = await alpaca.getAsset("AAPL");
  tell("asset", asset.symbol, asset.tradable);
  tell("assets", symbols(await alpaca.getAssets({ status: "active", asset_class: "crypto" })).includes("BTC/USD"));
  const page = await alpaca.sendRequest("/options/contracts", { underlying_symbols: "AAPL", limit: 3 });
  tell("contracts", page.option_contracts.map((contract) => contract.underlying_symbol));
}

async function useOrders() {
  const market = { symbol: "AAPL", qty: 10, side: "buy", type: "market", time_in_force: "day" };
  const bought = await alpaca.createOrder(market);
  const order = await alpaca.getOrder(bought.id);
  tell("market order", order.status, Number(order.qty), Number(order.filled_avg_price));
  const limit = { ...market, type: "limit", limit_price: 250, time_in_force: "gtc", client_order_id: "a-limit" };
  await alpaca.createOrder(limit);
  const found = await alpaca.getOrderByClientId("a-limit");
  tell("limit order", found.status, Number(found.limit_price));
  const replaced = await alpaca.replaceOrder(found.id, { limit_price: 251, qty: 9 });
  tell("replaced", replaced.replaces === found.id, Number(replaced.limit_price), Number(replaced.qty));
  await alpaca.cancelOrder(replaced.id);
  tell("canceled", (await alpaca.getOrder(replaced.id)).status);
  const bracket = await alpaca.createOrder({
    ...market,
    type: "limit",
    limit_price: 260,
    order_class: "bracket",
    take_profit: { limit_price: 280 },
    stop_loss: { stop_price: 250, limit_price: 249 },
  });
  tell("bracket", bracket.order_class, bracket.legs.map((leg) => leg.type).sort());
  const open = await alpaca.getOrders({ status: "open", limit: 10, nested: true, symbols: "AAPL" });
  tell("open orders", open.length);
  await alpaca.cancelAllOrders();
  tell("all canceled", (await alpaca.getOrders()).length);
  const coins = await alpaca.createOrder({ ...market, symbol: "BTC/USD", qty: 0.01, time_in_force: "gtc" });
  tell("coins", (await alpaca.getOrder(coins.id)).status);
  await alpaca
    .createOrder({ ...market, qty: 1000000 })
    .catch((error) => tell("refused", error.response.status, error.response.data.code));
}

async function usePositions() {
  const position = await alpaca.getPosition("AAPL");
  tell("position", Number(position.qty), Number(position.avg_entry_price));
  const closing = await alpaca.closePosition("AAPL");
  tell("close", closing.side, Number(closing.qty));
  await alpaca.closeAllPositions();
  tell("all closed", (await alpaca.getPositions()).length);
  const history = await alpaca.getPortfolioHistory({ period: "1M", timeframe: "1D" });
  tell("history", history.equity.length === history.timestamp.length && history.equity.length > 10);
  const fills = await alpaca.getAccountActivities({ activityTypes: ["FILL"], direction: "asc", pageSize: 100 });
  tell("activities", fills.filter((fill) => fill.symbol === "AAPL").map((fill) => [fill.side, Number(fill.qty)]));
}

async function useWatchlists() {
  const created = await alpaca.addWatchlist("mine", ["AAPL"]);
  await alpaca.addToWatchlist(created.id, "BTC/USD");
  tell("watchlist", symbols((await alpaca.getWatchlist(created.id)).assets));
  await alpaca.deleteFromWatchlist(created.id, "AAPL");
  const updated = await alpaca.updateWatchlist(created.id, { name: "ours", symbols: ["KO"] });
  tell("watchlist updated", updated.name, symbols(updated.assets));
  await alpaca.deleteWatchlist(created.id);
  tell("watchlists", (await alpaca.getWatchlists()).length);
}

async function useMarketData() {
  const day = alpaca.newTimeframe(1, alpaca.timeframeUnit.DAY);
  const bars = await all(alpaca.getBarsV2("AAPL", { ...week, timeframe: day, adjustment: alpaca.adjustment.ALL }));
  tell("bars", bars.length, bars.every((bar) => bar.LowPrice <= Math.min(bar.OpenPrice, bar.ClosePrice)));
  const several = await alpaca.getMultiBarsV2(["AAPL", "KO"], { ...week, timeframe: day, pageLimit: 3 });
  tell("bars of several", [...several.keys()].sort(), several.get("KO").length);
  tell("trades", (await all(alpaca.getTradesV2("AAPL", { ...tenSeconds }))).length);
  const quotes = await all(alpaca.getQuotesV2("AAPL", { ...tenSeconds }));
  tell("quotes", quotes.length, quotes.every((quote) => quote.BidPrice < quote.AskPrice));
  const trades = await alpaca.getMultiTradesV2(["AAPL"], { ...tenSeconds });
  const tradesOneByOne = await all(alpaca.getMultiTradesAsyncV2(["AAPL"], { ...tenSeconds }));
  tell("trades of several", trades.get("AAPL").length, tradesOneByOne.length);
  const quotesOneByOne = await all(alpaca.getMultiQuotesAsyncV2(["AAPL"], { ...tenSeconds }));
  const quotesOfSeveral = await alpaca.getMultiQuotesV2(["AAPL"], { ...tenSeconds });
  tell("quotes of several", quotesOfSeveral.get("AAPL").length, quotesOneByOne.length);
  const barsOneByOne = await all(alpaca.getMultiBarsAsyncV2(["AAPL", "KO"], { ...week, timeframe: day }));
  tell("bars one by one", barsOneByOne.length);
  tell("latest trade", (await alpaca.getLatestTrade("AAPL")).Price);
  tell("latest trades", (await alpaca.getLatestTrades(["AAPL", "KO"])).get("AAPL").Price);
  tell("latest quotes", [...(await alpaca.getLatestQuotes(["AAPL", "KO"])).keys()].sort());
  tell("latest bars", [...(await alpaca.getLatestBars(["AAPL", "KO"])).keys()].sort());
  const quote = await alpaca.getLatestQuote("AAPL");
  tell("latest quote", quote.BidPrice < 270 && 270 < quote.AskPrice);
  tell("latest bar", (await alpaca.getLatestBar("AAPL")).ClosePrice > 0);
  tell("snapshot", (await alpaca.getSnapshot("AAPL")).LatestTrade.Price);
  const snapshots = await alpaca.getSnapshots(["AAPL", "KO"]);
  tell("snapshots", symbols(snapshots.map((each) => ({ symbol: each.symbol }))).sort());
  const coins = await alpaca.getCryptoBars(["BTC/USD"], { ...week, timeframe: day });
  tell("coin bars", coins.get("BTC/USD").length);
  tell("coin trades", (await alpaca.getCryptoTrades(["BTC/USD"], { ...tenSeconds })).get("BTC/USD").length);
  tell("latest coin trade", (await alpaca.getLatestCryptoTrades(["BTC/USD"])).get("BTC/USD").Price);
  tell("coin quotes", (await alpaca.getCryptoQuotes(["BTC/USD"], { ...tenSeconds })).get("BTC/USD").length);
  tell("latest coin quote", (await alpaca.getLatestCryptoQuotes(["BTC/USD"])).get("BTC/USD").BidPrice < 60000);
  tell("latest coin bar", (await alpaca.getLatestCryptoBars(["BTC/USD"])).get("BTC/USD").Close > 0);
  const book = (await alpaca.getCryptoOrderbooks(["BTC/USD"])).get("BTC/USD");
  tell("order book", book.Bids[0].Price < book.Asks[0].Price);
  tell("coin snapshot", (await alpaca.getCryptoSnapshots(["BTC/USD"])).get("BTC/USD").LatestTrade.Price);
  const chain = await alpaca.getOptionChain("AAPL", { limit: 4, totalLimit: 4 });
  tell("chain", chain.length);
  const option = chain[0].Symbol;
  tell("option quote", (await alpaca.getOptionLatestQuotes([option])).get(option).BidPrice > 0);
  tell("option trade", (await alpaca.getOptionLatestTrades([option])).get(option).Price > 0);
  const hours = { timeframe: alpaca.newTimeframe(1, alpaca.timeframeUnit.HOUR), start: "2026-11-23" };
  tell("option bars", (await alpaca.getOptionBars([option], hours)).get(option).length > 0);
  tell("option trades", (await alpaca.getOptionTrades([option], { start: "2026-11-23", limit: 5 })).get(option).length);
  tell("option snapshot", (await alpaca.getOptionSnapshots([option]))[0].LatestQuote.BidPrice > 0);
  tell("corporate actions", typeof (await alpaca.getCorporateActions(["AAPL"], { start: "2026-11-01", end: "2026-11-20" })));
  tell("news", (await alpaca.getNews({ symbols: ["AAPL"], totalLimit: 5 })).length);
}

// Trade updates in JSON, and market data in MessagePack.
async function useStreams() {
  const stocks = alpaca.data_stream_v2;
  const coins = alpaca.crypto_stream_v1beta3;
  const options = alpaca.option_stream;
  const updates = alpaca.trade_ws;
  const when = (listen) => new Promise((resolve) => listen(resolve));
  const filled = when((done) => updates.onOrderUpdate((update) => update.event === "fill" && done(update)));
  const connected = [stocks, coins, options].map((stream) => when((done) => stream.onConnect(done)));
  const trade = when((done) => stocks.onStockTrade(done));
  const quote = when((done) => stocks.onStockQuote(done));
  const bar = when((done) => stocks.onStockBar(done));
  const coin = when((done) => coins.onCryptoTrade(done));
  const optionQuote = when((done) => options.onOptionQuote(done));
  const listening = when((done) => updates.onConnect(done));
  for (const stream of [updates, stocks, coins, options]) stream.connect();
  await Promise.all([listening, ...connected]);
  updates.subscribe(["trade_updates"]);
  stocks.subscribeForTrades(["AAPL"]);
  stocks.subscribeForQuotes(["AAPL"]);
  stocks.subscribeForBars(["AAPL"]);
  coins.subscribeForTrades(["BTC/USD"]);
  options.subscribeForQuotes(["AAPL261218C00250000"]);
  await Promise.all([trade, quote, coin, optionQuote]);
  await alpaca.createOrder({ symbol: "AAPL", qty: 1, side: "buy", type: "market", time_in_force: "day" });
  const update = await filled;
  tell("trade updates", update.event, Number(update.price), Number(update.position_qty));
  await fetch(`${process.env.CONTROL_URL}/_clock/advance`, { method: "POST", body: '{"seconds": 60}' });
  const inside = ({ BidPrice, AskPrice }) => BidPrice < 270 && 270 < AskPrice;
  const traded = await trade;
  tell("stream", traded.Symbol, traded.Price, inside(await quote), (await bar).ClosePrice);
  tell("coin stream", (await coin).Price);
  tell("option stream", (await optionQuote).Symbol);
}

await useAccountsAndAssets();
await useOrders();
await usePositions();
await useWatchlists();
await useMarketData();
await useStreams();
const own = Object.getOwnPropertyNames(client).filter((name) => typeof client[name] === "function");
const methods = [...own, ...Object.getOwnPropertyNames(Alpaca.prototype)];
tell("left out", methods.filter((name) => name !== "constructor" && !used.has(name)).sort());
process.exit(0);
