// @alpacahq/alpaca-trade-api 4.0.2 for JavaScript.
//
// It has no option for the address: `fetchApi` replaces Alpaca's hosts by the sandbox, and each stream takes a `url`.
import { Alpaca, ApiError, TimeFrame } from "alpaca-trade-api-4";

const url = process.env.SANDBOX_URL;
const socket = url.replace("http", "ws");
const alpaca = new Alpaca({
  keyId: process.env.KEY_ID,
  secret: process.env.SECRET,
  fetchApi: (asked, init) =>
    fetch(asked.replace("https://paper-api.alpaca.markets", `${url}/paper`).replace("https://data.alpaca.markets", url), init),
});
const { trading, marketData } = alpaca;
const week = { timeframe: TimeFrame.Day, start: new Date("2026-11-16"), end: new Date("2026-11-20T23:00:00Z") };
const tenSeconds = { start: new Date("2026-11-24T14:59:50Z"), end: new Date("2026-11-24T14:59:50.499Z") };
const US = { loc: "us" };

const tell = (name, ...got) => console.log(JSON.stringify({ name, got }));
const symbols = (assets) => assets.map((asset) => asset.symbol);
const day = (date) => new Date(date).toISOString().slice(0, 10);

async function useAccountsAndAssets() {
  const check = await trading.validateConnection();
  tell("account", Number(check.account.cash), check.account.status);
  await trading.accountConfigurations.patchAccountConfig({ accountConfigurations: { noShorting: true } });
  tell("configurations", (await trading.accountConfigurations.getAccountConfig()).noShorting);
  tell("clock", (await trading.clock.legacyClock()).isOpen);
  const days = await trading.calendar.legacyCalendar({ start: new Date("2026-11-25"), end: new Date("2026-11-27") });
  tell("calendar", days.map((each) => day(each.date)));
  const asset = await trading.assets.getV2AssetsSymbolOrAssetId({ symbolOrAssetId: "AAPL" });
  tell("asset", asset.symbol, asset.tradable);
  const coins = await trading.assets.getV2Assets({ status: "active", assetClass: "crypto" });
  tell("assets", symbols(coins).includes("BTC/USD"));
  const page = await trading.assets.getOptionsContracts({ underlyingSymbols: "AAPL", limit: 3 });
  tell("contracts", page.optionContracts.map((contract) => contract.underlyingSymbol));
}

async function useOrders() {
  const { orders } = trading;
  const bought = await orders.market({ symbol: "AAPL", qty: 10, side: "buy", clientOrderId: "a-market" });
  const order = await orders.getOrderByOrderID({ orderId: bought.id });
  tell("market order", order.status, Number(order.qty), Number(order.filledAvgPrice));
  const buy = { symbol: "AAPL", qty: 10, side: "buy" };
  await orders.limit({ ...buy, limitPrice: 250, timeInForce: "gtc", clientOrderId: "a-limit" });
  const found = await orders.getOrderByClientOrderId({ clientOrderId: "a-limit" });
  tell("limit order", found.status, Number(found.limitPrice));
  const change = { qty: "9", limitPrice: "251" };
  const replaced = await orders.patchOrderByOrderId({ orderId: found.id, patchOrderRequest: change });
  tell("replaced", replaced.replaces === found.id, Number(replaced.limitPrice), Number(replaced.qty));
  await orders.deleteOrderByOrderID({ orderId: replaced.id });
  tell("canceled", (await orders.getOrderByOrderID({ orderId: replaced.id })).status);
  const exits = { takeProfit: { limitPrice: 280 }, stopLoss: { stopPrice: 250, limitPrice: 249 } };
  const bracket = await orders.bracket({ ...buy, limitPrice: 260, ...exits });
  tell("bracket", bracket.orderClass, bracket.legs.map((leg) => leg.type).sort());
  tell("open orders", (await orders.getAllOrders({ status: "open", nested: true, symbols: ["AAPL"] })).length);
  await orders.deleteAllOrders();
  tell("all canceled", (await orders.getAllOrders()).length);
  const stop = await orders.trailingStop({ symbol: "AAPL", qty: 1, side: "sell", trailPercent: 5, timeInForce: "gtc" });
  tell("trailing stop", Number((await orders.getOrderByOrderID({ orderId: stop.id })).hwm));
  await orders.deleteOrderByOrderID({ orderId: stop.id });
  const coins = await orders.market({ symbol: "BTC/USD", qty: 0.01, side: "buy", timeInForce: "gtc" });
  tell("coins", (await orders.getOrderByOrderID({ orderId: coins.id })).status);
  await orders
    .market({ ...buy, qty: 1000000 })
    .catch((error) => tell("refused", error instanceof ApiError && error.status, error.code));
}

async function usePositions() {
  const position = await trading.positions.getOpenPosition({ symbolOrAssetId: "AAPL" });
  tell("position", Number(position.qty), Number(position.avgEntryPrice));
  const closing = await trading.positions.deleteOpenPosition({ symbolOrAssetId: "AAPL", qty: 4 });
  tell("close", closing.side, Number(closing.qty));
  await trading.closeAllPositions({ cancelOrders: true });
  tell("all closed", (await trading.positions.getAllOpenPositions()).length);
  const history = await trading.portfolioHistory.getAccountPortfolioHistory({ period: "1M", timeframe: "1D" });
  tell("history", history.equity.length === history.timestamp.length && history.equity.length > 10);
  const fills = await trading.collectActivities({ activityTypes: ["FILL"], direction: "asc" });
  tell("activities", fills.filter((fill) => fill.symbol === "AAPL").map((fill) => [fill.side, Number(fill.qty)]));
}

async function useWatchlists() {
  const { watchlists } = trading;
  const created = await watchlists.postWatchlist({ createWatchlistRequest: { name: "mine", symbols: ["AAPL"] } });
  const mine = { watchlistId: created.id };
  await watchlists.addAssetToWatchlist({ ...mine, addAssetToWatchlistRequest: { symbol: "BTC/USD" } });
  tell("watchlist", symbols((await watchlists.getWatchlistById(mine)).assets));
  await watchlists.removeAssetFromWatchlist({ ...mine, symbol: "AAPL" });
  tell("watchlist by name", symbols((await watchlists.getWatchlistByName({ name: "mine" })).assets));
  await watchlists.deleteWatchlistById(mine);
  tell("watchlists", (await watchlists.getWatchlists()).length);
}

async function useMarketData() {
  const bars = await marketData.getStockBarsFor("AAPL", { ...week, adjustment: "all", feed: "iex" });
  tell("bars", bars.length, bars.every((bar) => bar.low <= Math.min(bar.open, bar.close)));
  const several = await marketData.getStockBars({ ...week, symbols: ["AAPL", "KO"], limit: 3 });
  tell("bars of several", Object.keys(several).sort(), several.KO.length);
  tell("trades", (await marketData.getStockTradesFor("AAPL", tenSeconds)).length);
  const quotes = await marketData.getStockQuotesFor("AAPL", tenSeconds);
  tell("quotes", quotes.length, quotes.every((quote) => quote.bidPrice < quote.askPrice));
  tell("latest trade", await marketData.getLatestPrice("AAPL"));
  const { quote } = await marketData.stocks.stockLatestQuoteSingle({ symbol: "AAPL" });
  tell("latest quote", quote.bp < 270 && 270 < quote.ap);
  tell("latest bar", (await marketData.stocks.stockLatestBarSingle({ symbol: "AAPL" })).bar.c > 0);
  tell("snapshot", (await marketData.stocks.stockSnapshotSingle({ symbol: "AAPL" })).latestTrade.p);
  const coins = await marketData.getCryptoBarsFor("BTC/USD", { ...week, ...US });
  tell("coin bars", coins.length);
  const trades = await marketData.getCryptoTradesFor("BTC/USD", { ...tenSeconds, ...US });
  tell("coin trades", trades.length, trades.every((trade) => BigInt(trade.idRaw) > 2n ** 53n));
  const latest = await marketData.crypto.cryptoLatestTrades({ ...US, symbols: "BTC/USD" });
  tell("latest coin trade", latest.trades["BTC/USD"].p);
  const books = await marketData.crypto.cryptoLatestOrderbooks({ ...US, symbols: "BTC/USD" });
  const book = books.orderbooks["BTC/USD"];
  tell("order book", book.b[0].p < book.a[0].p);
  const snapshots = await marketData.crypto.cryptoSnapshots({ ...US, symbols: "BTC/USD" });
  tell("coin snapshot", snapshots.snapshots["BTC/USD"].latestTrade.p);
  const chain = await marketData.options.optionChain({ underlyingSymbol: "AAPL", limit: 4 });
  tell("chain", Object.keys(chain.snapshots).length);
  tell("news", (await marketData.collectNews({ symbols: "AAPL" })).length);
}

// Trade updates in JSON, and market data in MessagePack.
async function useStreams() {
  const when = (listen) => new Promise((resolve) => listen(resolve));
  const stocks = marketData.stockStream({ url: `${socket}/v2/iex` });
  const coins = marketData.cryptoStream({ url: `${socket}/v1beta3/crypto/us` });
  const options = marketData.optionStream({ url: `${socket}/v1beta1/indicative` });
  const trade = when((done) => stocks.onTrade(done));
  const quote = when((done) => stocks.onQuote(done));
  const bar = when((done) => stocks.onBar(done));
  const coin = when((done) => coins.onTrade(done));
  const optionQuote = when((done) => options.onQuote(done));
  stocks.onConnect(() => stocks.subscribeForTrades(["AAPL"]));
  stocks.onConnect(() => stocks.subscribeForQuotes(["AAPL"]));
  stocks.onConnect(() => stocks.subscribeForBars(["AAPL"]));
  coins.onConnect(() => coins.subscribeForTrades(["BTC/USD"]));
  options.onConnect(() => options.subscribeForQuotes(["AAPL261218C00250000"]));
  for (const stream of [stocks, coins, options]) {
    stream.connect();
    await stream.whenAuthenticated();
  }
  await Promise.all([trade, quote, coin, optionQuote]);
  await fetch(`${process.env.CONTROL_URL}/_clock/advance`, { method: "POST", body: '{"seconds": 60}' });
  const traded = await trade;
  const inside = ({ bidPrice, askPrice }) => bidPrice < 270 && 270 < askPrice;
  tell("stream", traded.symbol, traded.price, inside(await quote), (await bar).close);
  tell("coin stream", (await coin).price);
  tell("option stream", (await optionQuote).symbol);
  const updates = trading.stream({ url: `${socket}/paper/stream` });
  const filling = when((done) => updates.onTradeUpdate((update) => update.event === "fill" && done(update)));
  updates.connect();
  await updates.whenAuthenticated();
  const order = { type: "market", symbol: "AAPL", qty: 1, side: "buy", clientOrderId: "waited-for" };
  const filled = await trading.submitAndWait(order, { stream: updates });
  const update = await filling;
  tell("trade updates", update.event, Number(update.price), Number(update.positionQty));
  tell("submitted and waited", filled.status, Number(filled.filledAvgPrice));
}

await useAccountsAndAssets();
await useOrders();
await usePositions();
await useWatchlists();
await useMarketData();
await useStreams();
process.exit(0);
