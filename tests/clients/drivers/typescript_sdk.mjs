// @alpacahq/typescript-sdk 0.0.32-preview.
//
// `baseURL` points it at the sandbox. At fault in the client: it sends market data to the same address as trading, so
// with Alpaca itself one client can do either; the sandbox serves both at its root. Each request waits for a second.
// `updateWatchlist` sends PATCH, which Alpaca does not serve. The paths of `getStocksSnapshots`, `getCryptoBars`,
// `getCryptoQuotes`, `getCryptoSnapshots`, `getCryptoTrades`, `getLogo` and `getStocksMarketMovers` do not exist at Alpaca.
import { createClient } from "@alpacahq/typescript-sdk";

console.debug = () => {}; // it prints whatever APCA_DEBUG says
const client = createClient({
  key: process.env.KEY_ID,
  secret: process.env.SECRET,
  baseURL: process.env.SANDBOX_URL,
});
const week = { timeframe: "1Day", start: "2026-11-16", end: "2026-11-20T23:00:00Z" };
const tenSeconds = { start: "2026-11-24T14:59:50Z", end: "2026-11-24T14:59:59Z", limit: 5 };
const coin = { loc: "us", symbols: "BTC/USD" };

const tell = (name, ...got) => console.log(JSON.stringify({ name, got }));
const symbols = (assets) => assets.map((asset) => asset.symbol);

const account = await client.getAccount();
tell("account", Number(account.cash), account.status);
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
await client.getCryptoBars({ symbols: "BTC/USD", ...week }).catch((error) => tell("no such path", JSON.parse(error.message)));
process.exit(0);
