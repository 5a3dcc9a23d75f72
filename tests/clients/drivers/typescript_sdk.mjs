// @alpacahq/typescript-sdk 0.0.32-preview.
//
// `baseURL` points it at the sandbox. At fault in the client: it sends market data to the same address as trading, so
// with Alpaca itself one client can do either; the sandbox serves both at its root. Each request waits for a second, by a
// timer that is made faster here. `updateWatchlist` sends PATCH, which Alpaca does not serve. The paths of `getStocksSnapshots`, `getCryptoBars`,
// `getCryptoQuotes`, `getCryptoSnapshots`, `getCryptoTrades` and `getStocksMarketMovers` do not exist at Alpaca, and
// that of `getLogo` has `:symbol` in the place of a symbol.
import { createClient } from "@alpacahq/typescript-sdk";

console.debug = () => {}; // it prints whatever APCA_DEBUG says
const { setInterval } = globalThis;
globalThis.setInterval = (call, milliseconds) => setInterval(call, milliseconds / 1000);
const made = createClient({
  key: process.env.KEY_ID,
  secret: process.env.SECRET,
  baseURL: process.env.SANDBOX_URL,
});
const used = new Set();
const client = new Proxy(made, { get: (target, name) => (used.add(name), target[name]) });
const week = { timeframe: "1Day", start: "2026-11-16", end: "2026-11-20T23:00:00Z" };
const tenSeconds = { start: "2026-11-24T14:59:50Z", end: "2026-11-24T14:59:59Z", limit: 5 };
const coin = { loc: "us", symbols: "BTC/USD" };

const tell = (name, ...got) => console.log(JSON.stringify({ name, got }));
const symbols = (assets) => assets.map((asset) => asset.symbol);

const account = await client.getAccount();
tell("account", Number(account.cash), account.status);
const byToken = createClient({ accessToken: process.env.TOKEN, baseURL: process.env.SANDBOX_URL });
tell("by token", (await byToken.getAccount()).status);
await client.updateConfigurations({ no_shorting: true });
tell("configurations", (await client.getConfigurations()).no_shorting);
tell("clock", (await client.getClock()).is_open);
const days = await client.getCalendar({ start: "2026-11-25", end: "2026-11-27" });
tell("calendar", days.map((day) => day.date));
const asset = await client.getAsset({ symbol_or_asset_id: "AAPL" });
tell("asset", asset.symbol, asset.tradable);
tell("assets", symbols(await client.getAssets({ status: "active", asset_class: "crypto" })).includes("BTC/USD"));
const page = await client.getOptionsContracts({ underlying_symbols: "AAPL", limit: 3 });
tell("contracts", page.option_contracts.map((contract) => contract.underlying_symbol));

const market = { symbol: "AAPL", qty: 10, side: "buy", type: "market", time_in_force: "day" };
const bought = await client.createOrder(market);
const order = await client.getOrder({ order_id: bought.id });
tell("market order", order.status, Number(order.qty), Number(order.filled_avg_price));
const limit = await client.createOrder({ ...market, type: "limit", limit_price: 250, time_in_force: "gtc" });
tell("limit order", limit.type, Number(limit.limit_price));
const replaced = await client.replaceOrder({ order_id: limit.id, limit_price: 251, qty: 9 });
tell("replaced", replaced.replaces === limit.id, Number(replaced.limit_price), Number(replaced.qty));
tell("open orders", (await client.getOrders({ status: "open", nested: true })).length);
await client.cancelOrder({ order_id: replaced.id });
tell("canceled", (await client.getOrder({ order_id: replaced.id })).status);
const exits = { take_profit: { limit_price: 280 }, stop_loss: { stop_price: 250, limit_price: 249 } };
const entry = { ...market, type: "limit", limit_price: 260 };
const bracket = await client.createOrder({ ...entry, order_class: "bracket", ...exits });
tell("bracket", bracket.order_class, bracket.legs.map((leg) => leg.type).sort());
await client.cancelOrders();
tell("all canceled", (await client.getOrders({ status: "open" })).length);
await client.createOrder({ ...market, qty: 1000000 }).catch((error) => tell("refused", JSON.parse(error.message).code));

const position = await client.getPosition({ symbol_or_asset_id: "AAPL" });
tell("position", Number(position.qty), Number(position.avg_entry_price));
const closing = await client.closePosition({ symbol_or_asset_id: "AAPL" });
tell("close", closing.side, Number(closing.qty));
tell("all closed", (await client.closePositions()).length, (await client.getPositions()).length);
const history = await client.getPortfolioHistory({ period: "1M", timeframe: "1D" });
tell("history", history.equity.length === history.timestamp.length && history.equity.length > 10);
const fills = await client.getActivity({ activity_type: "FILL" });
tell("activities", fills.map((fill) => [fill.side, Number(fill.qty)]).reverse());

const created = await client.createWatchlist({ name: "mine", symbols: ["AAPL"] });
tell("watchlist", symbols((await client.getWatchlist({ watchlist_id: created.id })).assets));
await client.updateWatchlist({ watchlist_id: created.id, name: "ours" }).catch((error) => tell("no PATCH", error.message));
await client.deleteWatchlist({ watchlist_id: created.id });
tell("watchlists", (await client.getWatchlists()).length);

const bars = (await client.getStocksBars({ symbols: "AAPL", ...week })).bars.AAPL;
tell("bars", bars.length, bars.every((bar) => bar.l <= Math.min(bar.o, bar.c)));
tell("trades", (await client.getStocksTrades({ symbols: "AAPL", ...tenSeconds })).trades.AAPL.length);
const quotes = (await client.getStocksQuotes({ symbols: "AAPL", ...tenSeconds })).quotes.AAPL;
tell("quotes", quotes.length, quotes.every((quote) => quote.bp < quote.ap));
tell("latest trade", (await client.getStocksTradesLatest({ symbols: "AAPL" })).trades.AAPL.p);
tell("latest coin trade", (await client.getCryptoTradesLatest(coin)).trades["BTC/USD"].p);
const book = (await client.getLatestCryptoOrderbooks(coin)).orderbooks["BTC/USD"];
tell("order book", book.b[0].p < book.a[0].p);
tell("news", (await client.getNews({ symbols: "AAPL" })).news.length);
tell("latest quote", (await client.getStocksQuotesLatest({ symbols: "AAPL" })).quotes.AAPL.bp < 270);
tell("latest bar", (await client.getStocksBarsLatest({ symbols: "AAPL" })).bars.AAPL.c > 0);
tell("latest coin quote", (await client.getCryptoQuotesLatest(coin)).quotes["BTC/USD"].bp < 60000);
tell("latest coin bar", (await client.getLatestCryptoBars(coin)).bars["BTC/USD"].c > 0);
const auctions = await client.getStocksAuctions({ symbols: "AAPL", start: "2026-11-20", end: "2026-11-21" });
tell("auctions", auctions.auctions.AAPL.length);
const codes = await client.getStocksConditions({ tickType: "trade", tape: "C" });
tell("codes", Object.keys(codes).length > 0, Object.keys(await client.getStocksExchangeCodes()).length > 0);
const contract = await client.getOptionsContract({ symbol_or_contract_id: "AAPL261218C00250000" });
const symbol = { symbols: contract.symbol };
tell("option trade", (await client.getOptionsTradesLatest(symbol)).trades[contract.symbol].p > 0);
tell("option snapshot", (await client.getOptionsSnapshots(symbol)).snapshots[contract.symbol].latestQuote.bp > 0);
const hours = { ...symbol, timeframe: "1Hour", start: "2026-11-23" };
tell("option bars", (await client.getOptionsBars(hours)).bars[contract.symbol].length > 0);
const few = { ...symbol, start: "2026-11-23", limit: 5 };
tell("option trades", (await client.getOptionsTrades(few)).trades[contract.symbol].length);
tell("option exchanges", Object.keys(await client.getOptionsExchanges()).length > 0);
const announced = await client.getCorporateActions({ ca_types: "dividend", since: "2026-10-01", until: "2026-12-20" });
tell("announcement", (await client.getCorporateAction({ id: announced[0].id })).id === announced[0].id);
const actions = await client.getStocksCorporateActions({ symbols: "AAPL", start: "2026-11-01", end: "2026-11-20" });
tell("corporate actions", typeof actions.corporate_actions);
tell("most actives", (await client.getStocksMostActives({ top: 5 })).most_actives);
const pair = { currency_pairs: "USDJPY" };
tell("currencies", (await client.getLatestForexRates(pair)).rates, (await client.getForexRates(pair)).rates);
tell("activities of all types", (await client.getActivities()).length);

// What is refused, here and at Alpaca: the client raises what it was told.
const why = (call) => call.then(() => "done", (error) => JSON.parse(error.message).message);
const id = "00000000-0000-0000-0000-000000000000";
for (const [name, calls] of Object.entries({
  "no such path": [
    () => client.getStocksSnapshots({ symbols: "AAPL" }),
    () => client.getCryptoBars({ symbols: "BTC/USD", ...week }),
    () => client.getCryptoQuotes({ symbols: "BTC/USD", ...tenSeconds }),
    () => client.getCryptoSnapshots({ symbols: "BTC/USD" }),
    () => client.getCryptoTrades({ symbols: "BTC/USD", ...tenSeconds }),
    () => client.getLogo({ symbol: "AAPL" }),
    () => client.getStocksMarketMovers({ top: 5 }),
  ],
  "not held": [() => client.exerciseOption({ symbol_or_contract_id: contract.symbol })],
  wallets: [
    () => client.getCryptoWallets(),
    () => client.getCryptoWallet({ asset: "BTC" }),
    () => client.getFeeEstimate({ asset: "BTC", amount: "1", to_address: "x" }),
    () => client.getCryptoTransfers({}),
    () => client.getCryptoTransfer({ transfer_id: id }),
    () => client.createCryptoTransfer({ asset: "BTC", amount: "1", address: "x" }),
    () => client.getCryptoWhitelistedAddresses(),
    () => client.getCryptoWhitelistedAddress({}),
    () => client.requestCryptoWhitelistedAddress({ asset: "BTC", address: "x" }),
    () => client.removeCryptoWhitelistedAddress({ whitelisted_address_id: id }),
  ],
})) {
  const reasons = [];
  for (const call of calls) reasons.push(await why(call()));
  tell(name, ...reasons);
}
tell("left out", Object.keys(made).filter((name) => !used.has(name)).sort());
process.exit(0);
