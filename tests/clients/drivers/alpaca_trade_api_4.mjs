// @alpacahq/alpaca-trade-api 4.0.2 for JavaScript.
//
// It has no option for the address: `fetchApi` replaces Alpaca's hosts by the sandbox, and each stream takes a `url`.
// The sandbox has no indices, perpetual futures and logos. At fault in the client: `subscribeToActivitiesSSE` reads the
// events as JSON, which they are not, so its raw form is used.
import { Alpaca, ApiError, capabilities, TimeFrame } from "alpaca-trade-api-4";

const url = process.env.SANDBOX_URL;
const socket = url.replace("http", "ws");
const fetchApi = (asked, init) =>
  fetch(asked.replace("https://paper-api.alpaca.markets", `${url}/paper`).replace("https://data.alpaca.markets", url), init);
const client = new Alpaca({ keyId: process.env.KEY_ID, secret: process.env.SECRET, fetchApi });
// Passes everything on to the client, and knows which of its calls have been made.
const used = new Set();
const watched = (part) =>
  new Proxy(part, {
    get(target, name) {
      used.add(name);
      const value = target[name];
      return /Api\d*$/.test(value?.constructor?.name) ? watched(value) : value;
    },
  });
const [trading, marketData] = [watched(client.trading), watched(client.marketData)];
const week = { timeframe: TimeFrame.Day, start: new Date("2026-11-16"), end: new Date("2026-11-20T23:00:00Z") };
const tenSeconds = { start: new Date("2026-11-24T14:59:50Z"), end: new Date("2026-11-24T14:59:50.499Z") };
const US = { loc: "us" };

const tell = (name, ...got) => console.log(JSON.stringify({ name, got }));
const symbols = (assets) => assets.map((asset) => asset.symbol);
const day = (date) => new Date(date).toISOString().slice(0, 10);

async function useAccountsAndAssets() {
  const check = await trading.validateConnection();
  tell("account", Number(check.account.cash), check.account.status);
  const byToken = new Alpaca({ accessToken: process.env.TOKEN, fetchApi });
  tell("by token", (await byToken.trading.account.getAccount()).status);
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
  const contract = page.optionContracts[0];
  const same = await trading.assets.getOptionContractSymbolOrId({ symbolOrId: contract.symbol });
  tell("contract", same.id === contract.id, same.underlyingSymbol);
  const markets = await trading.clock.clock({ markets: ["NYSE"] });
  tell("market clock", markets.clocks.length);
  const sessions = await trading.calendar.calendar({ market: "NYSE", start: new Date("2026-11-25") });
  tell("market calendar", sessions.calendar.length > 0);
  const dividends = { caTypes: "dividend", since: "2026-10-01", until: "2026-12-20" };
  const [announced] = await trading.corporateActions.getV2CorporateActionsAnnouncements(dividends);
  const found = await trading.corporateActions.getV2CorporateActionsAnnouncementsId({ id: announced.id });
  tell("announcement", found.id === announced.id);
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
  const byType = await trading.collectActivitiesByType({ activityType: "CFEE" });
  tell("activities by type", byType.length);
  const past = { since: new Date("2016-01-01"), until: new Date("2026-11-24T14:00:00Z") };
  const events = await (await trading.events.subscribeToActivitiesSSERaw(past)).raw.text();
  tell("activity events", events.includes("data: {"));
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
  const [ours, theirs] = [{ name: "ours", symbols: ["KO"] }, { name: "theirs", symbols: ["KO"] }];
  await watchlists.updateWatchlistById({ ...mine, updateWatchlistRequest: ours });
  await watchlists.updateWatchlistByName({ name: "ours", updateWatchlistRequest: theirs });
  await watchlists.addAssetToWatchlistByName({ name: "theirs", addAssetToWatchlistRequest: { symbol: "AAPL" } });
  tell("watchlist updated", symbols((await watchlists.getWatchlistById(mine)).assets));
  await watchlists.deleteWatchlistByName({ name: "theirs" });
  const another = await watchlists.postWatchlist({ createWatchlistRequest: { name: "mine", symbols: ["AAPL"] } });
  await watchlists.deleteWatchlistById({ watchlistId: another.id });
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
  await useOtherData(Object.keys(chain.snapshots)[0]);
  tell("news", (await marketData.collectNews({ symbols: "AAPL" })).length);
}

async function useOtherData(option) {
  const { stocks, crypto, options } = marketData;
  const several = { symbols: "AAPL,KO" };
  const latest = [await stocks.stockLatestBars(several), await stocks.stockLatestQuotes(several)];
  tell("latest of several", Object.keys(latest[0].bars).sort(), Object.keys(latest[1].quotes).sort());
  tell("latest trades", (await stocks.stockLatestTrades(several)).trades.AAPL.p);
  tell("snapshots", Object.keys(await stocks.stockSnapshots(several)).sort());
  const auctions = await marketData.getStockAuctions({ symbols: ["AAPL"], start: new Date("2026-11-20") });
  tell("auctions", auctions.AAPL.length > 0);
  const codes = [await stocks.stockMetaConditions({ ticktype: "trade", tape: "C" }), await stocks.stockMetaExchanges()];
  tell("codes", codes.every((each) => Object.keys(each).length > 0));
  tell("coin quotes", (await marketData.getCryptoQuotesFor("BTC/USD", { ...tenSeconds, ...US })).length);
  const coin = { ...US, symbols: "BTC/USD" };
  tell("latest coin quote", (await crypto.cryptoLatestQuotes(coin)).quotes["BTC/USD"].bp < 60000);
  tell("latest coin bar", (await crypto.cryptoLatestBars(coin)).bars["BTC/USD"].c > 0);
  const contract = { symbols: option };
  tell("option quote", (await options.optionLatestQuotes(contract)).quotes[option].bp > 0);
  tell("option trade", (await options.optionLatestTrades(contract)).trades[option].p > 0);
  tell("option snapshot", (await options.optionSnapshots(contract)).snapshots[option].latestQuote.bp > 0);
  const monday = { start: new Date("2026-11-23T15:00:00Z"), end: new Date("2026-11-23T15:00:01Z") };
  const hours = { ...monday, end: new Date("2026-11-23T20:00:00Z"), timeframe: TimeFrame.Hour };
  tell("option bars", (await marketData.getOptionBarsFor(option, hours)).length);
  const trades = await marketData.collectOptionTradesBySymbol({ symbols: [option], ...monday });
  tell("option trades", trades[option].length);
  const conditions = await options.optionMetaConditions({ ticktype: "trade" });
  tell("option codes", [conditions, await options.optionMetaExchanges()].every((each) => Object.keys(each).length > 0));
  const dates = { symbols: "AAPL", start: new Date("2026-11-01"), end: new Date("2026-11-20") };
  tell("corporate actions", typeof (await marketData.corporateActions.corporateActions(dates)).corporateActions);
  tell("most actives", (await marketData.screener.mostActives({ top: 5 })).mostActives);
  tell("movers", (await marketData.screener.movers({ marketType: "stocks" })).gainers);
  const pair = { currencyPairs: "USDJPY" };
  tell("currencies", (await marketData.forex.latestRates(pair)).rates, (await marketData.forex.rates(pair)).rates);
  const bond = { isins: "US912797SX61" };
  const { fixedIncome } = marketData;
  const prices = [await fixedIncome.fixedIncomeLatestPrices(bond), await fixedIncome.fixedIncomeLatestQuotes(bond)];
  tell("bonds", prices[0].prices, prices[1].quotes);
}

// What is refused, here and at Alpaca, or not there in the sandbox.
async function beRefused() {
  const { cryptoFunding, locates, positions, tokenization } = trading;
  const { cryptoPerpetualFutures: perpetual, indices, logos } = marketData;
  const id = "00000000-0000-0000-0000-000000000000";
  const transfer = { createCryptoTransferRequest: { asset: "BTC", amount: "1", address: "x" } };
  const address = { createWhitelistedAddressRequest: { asset: "BTC", address: "x" } };
  const mint = { underlyingSymbol: "AAPL", qty: "1", issuer: "x", network: "solana", walletAddress: "x" };
  const future = { loc: "global", symbols: "BTC-PERP" };
  const option = { symbolOrContractId: "AAPL261218C00250000" };
  const calls = {
    wallets: [
      () => cryptoFunding.listCryptoFundingWallets(),
      () => cryptoFunding.listCryptoFundingTransfers(),
      () => cryptoFunding.getCryptoFundingTransfer({ transferId: id }),
      () => cryptoFunding.createCryptoTransferForAccount(transfer),
      () => cryptoFunding.getCryptoTransferEstimate({ asset: "BTC" }),
      () => cryptoFunding.listWhitelistedAddress(),
      () => cryptoFunding.createWhitelistedAddress(address),
      () => cryptoFunding.deleteWhitelistedAddress({ whitelistedAddressId: id }),
    ],
    locates: [
      () => locates.listLocates(),
      () => locates.listLocateQuotes({ symbols: "AAPL" }),
      () => locates.getLocate({ locateId: id }),
      () => locates.createLocates({ createLocateRequest: { symbol: "AAPL", qty: 100 } }),
    ],
    tokens: [
      () => tokenization.getTokenizationRequests(),
      () => tokenization.getTokenizationRequest({ tokenizationRequestId: id }),
      () => tokenization.getTokenizationRequestByClientRequestID({ clientRequestId: "x" }),
      () => tokenization.postTokenizationMint({ tokenizationMintRequest: mint }),
    ],
    "not held": [() => positions.optionExercise(option), () => positions.optionDoNotExercise(option)],
    "not there": [
      () => indices.indexValues({ symbols: "SPX" }),
      () => indices.indexLatestValues({ symbols: "SPX" }),
      () => perpetual.cryptoPerpLatestBars(future),
      () => perpetual.cryptoPerpLatestQuotes(future),
      () => perpetual.cryptoPerpLatestTrades(future),
      () => perpetual.cryptoPerpLatestOrderbooks(future),
      () => perpetual.cryptoPerpLatestFuturesPricing(future),
      () => logos.logos({ symbol: "AAPL" }),
    ],
  };
  for (const [name, each] of Object.entries(calls)) {
    const statuses = [];
    for (const call of each) statuses.push(await call().then(() => 200, (error) => error.status ?? String(error)));
    tell(name, ...statuses);
  }
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
await beRefused();
await useStreams();
tell("left out", capabilities.capabilities.flatMap(({ methods }) => methods).filter((name) => !used.has(name) && !used.has(`${name}Raw`)).sort());
process.exit(0);
