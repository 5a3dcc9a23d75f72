/**
 * Asks the sandbox for its clock, accounts and prices about once a second while the page is visible, and shows them.
 * It only reads. What the sandbox says is added as text, never as markup.
 */
"use strict";

const ASK_AGAIN_MS = 1_000;
const RECONNECT_MS = 2_000;
const BUSY_AFTER_MS = 3_000; // while its clock is being advanced, the sandbox answers nothing
const GIVE_UP_MS = 30_000;
const MOST_PRICES = 200;

const NEW_YORK = { timeZone: "America/New_York" };
const TIME = new Intl.DateTimeFormat(undefined, { ...NEW_YORK, timeStyle: "medium" });
const DAY = { ...NEW_YORK, month: "short", day: "numeric" };
const DATE = new Intl.DateTimeFormat(undefined, { ...DAY, weekday: "short", year: "numeric" });
const MINUTES = { ...DAY, hour: "numeric", minute: "2-digit" };
const MOMENT = new Intl.DateTimeFormat(undefined, MINUTES);
const SESSION = new Intl.DateTimeFormat(undefined, { ...MINUTES, weekday: "short" });
const READERS_TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

const byId = (id) => document.getElementById(id);

// Asking

let token = ""; // in memory only
let isTokenNeeded = false;
let asking = null; // the AbortController of the requests under way
let nextRound;
let answeredAt = null;

class TokenNeeded extends Error {}
class BadAnswer extends Error {}
class PageHidden extends Error {}

/** One round of requests at a time: the next begins a while after the end of this one. */
async function refresh() {
  clearTimeout(nextRound);
  if (asking || document.hidden || isTokenNeeded) return;
  asking = new AbortController();
  const { signal } = asking;
  const timers = [setTimeout(showBusy, BUSY_AFTER_MS), setTimeout(() => asking.abort(), GIVE_UP_MS)];
  const answers = await askForAll(signal).catch((error) => error);
  timers.forEach(clearTimeout);
  asking = null;
  if (answers instanceof PageHidden) return refresh(); // it may be seen again by now
  if (answers instanceof TokenNeeded) return askForToken();
  nextRound = setTimeout(refresh, answers instanceof Error ? RECONNECT_MS : ASK_AGAIN_MS);
  if (answers instanceof BadAnswer) return showConnection("failing", answers.message);
  if (answers instanceof Error) return showConnectionLost();
  answeredAt = new Date();
  showConnection("live");
  hideTokenForm();
  for (const section of document.querySelectorAll("[data-live]")) section.hidden = false;
  const [clock, accounts, prices] = answers;
  showClock(clock);
  showAccounts(accounts);
  showPrices(prices);
}

/** The clock comes first and alone: a sandbox that is gone is asked once, not three times. */
async function askForAll(signal) {
  const clock = await ask("_clock", signal);
  return [clock, ...(await Promise.all([ask("_accounts", signal), ask("_prices?all=true", signal)]))];
}

async function ask(path, signal) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { headers, signal, mode: "same-origin", cache: "no-store" });
  if (answer.status === 401 || answer.status === 403) throw new TokenNeeded();
  if (!answer.ok) throw new BadAnswer(`The sandbox returned an error (${answer.status}). Trying again…`);
  return answer.json();
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return void refresh();
  clearTimeout(nextRound);
  asking?.abort(new PageHidden());
});

// The connection

const CONNECTION_TEXTS = { live: "Live", busy: "Waiting for the sandbox…", locked: "Control token needed" };

/** The text changes with the state only, so that a screen reader says it once. */
function showConnection(state, text = CONNECTION_TEXTS[state]) {
  document.body.dataset.connection = state;
  setText(byId("connection"), text);
}

function showBusy() {
  if (document.body.dataset.connection === "live") showConnection("busy");
}

function showConnectionLost() {
  clockSeen = null; // another sandbox may come back
  setText(byId("moved"), NOT_MOVED);
  const since = answeredAt && `Disconnected at ${READERS_TIME.format(answeredAt)}. Reconnecting…`;
  showConnection("gone", since ?? "The sandbox isn’t responding. Trying again…");
}

// The control token

function askForToken() {
  setText(byId("token-problem"), token ? "The sandbox does not accept this token." : "");
  isTokenNeeded = true;
  token = "";
  byId("token-form").hidden = false;
  showConnection("locked");
}

function hideTokenForm() {
  byId("token-form").hidden = true;
  byId("token").value = "";
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const typed = byId("token").value.trim();
  if (!/^[\x21-\x7e]+$/.test(typed)) {
    const problem = typed ? "A token has no spaces, accents or line breaks." : "Enter the token.";
    return setText(byId("token-problem"), problem);
  }
  token = typed;
  isTokenNeeded = false;
  refresh();
});

// The clock

const NOT_MOVED = byId("moved").textContent;
let clockSeen = null; // its time and speed at the last answer, and when that came

function showClock({ at, speed, is_open: isOpen, next_open: nextOpen, next_close: nextClose }) {
  const time = dateOf(at);
  showTime(byId("time"), at, TIME);
  setText(byId("date"), `${DATE.format(time)}, New York`);
  setText(byId("session"), isOpen ? "Open" : "Closed");
  setText(byId("speed"), speedText(speed));
  showTime(byId("next-open"), nextOpen, SESSION);
  showTime(byId("next-close"), nextClose, SESSION);
  const seen = { time, speed, here: Date.now() };
  const leap = clockSeen?.speed === speed ? leapBetween(clockSeen, seen) : 0;
  if (leap) setText(byId("moved"), `${durationText(Math.abs(leap) / 1_000)} ${leap < 0 ? "back" : "ahead"}, to ${MOMENT.format(time)}`);
  clockSeen = seen;
}

function speedText(speed) {
  if (speed === 0) return "Stands still";
  return speed === 1 ? "Real time" : `${speed.toLocaleString()} × real time`;
}

/** Returns the milliseconds by which the clock is not where its speed would have brought it, 0 if it is there. */
function leapBetween(before, seen) {
  const leap = seen.time - before.time - (seen.here - before.here) * seen.speed;
  const tolerance = 50 + 2_000 * seen.speed; // answers take a while
  return Math.abs(leap) > tolerance ? leap : 0;
}

/** `1 d 2 h`, `6 h 30 min`, `0.250 s`: the two largest units. */
function durationText(seconds) {
  if (seconds < 1) return `${seconds.toFixed(3)} s`;
  let rest = Math.round(seconds);
  const parts = Object.entries({ d: 86_400, h: 3_600, min: 60, s: 1 }).map(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest %= size;
    return { count, text: `${count.toLocaleString()} ${unit}` };
  });
  const first = parts.findIndex(({ count }) => count);
  return parts.slice(first, first + 2).filter(({ count }) => count).map(({ text }) => text).join(" ");
}

// Accounts and prices

const RESTRICTIONS = {
  trading_blocked: "Trading blocked",
  account_blocked: "Account blocked",
  transfers_blocked: "Transfers blocked",
  trade_suspended_by_user: "Trading suspended",
};

function showAccounts({ items, total }) {
  byId("no-accounts").hidden = items.length > 0;
  byId("accounts-table").hidden = items.length === 0;
  // By key ID: in the order of their use they would change places while somebody reads.
  const inOrder = items.toSorted((one, other) => (one.key_id < other.key_id ? -1 : 1));
  showRows("account", inOrder.map((account) => [account.key_id, account]), showAccount);
  showLeftOut(byId("accounts-left-out"), total - items.length, "used longer ago");
}

function showAccount(row, { key_id: keyId, environment, status, currency, restrictions, ...figures }) {
  const problems = [...(status === "ACTIVE" ? [] : [statusText(status)]), ...restrictions.map((name) => RESTRICTIONS[name] ?? name)];
  cell(row, "badge").classList.add(environment === "live" ? "live" : "paper");
  write(row, {
    key_id: keyId,
    environment: environment.toUpperCase(),
    equity: moneyText(figures.equity, currency),
    cash: moneyText(figures.cash, currency),
    buying_power: moneyText(figures.buying_power, currency),
    positions: figures.positions.toLocaleString(),
    open_orders: figures.open_orders.toLocaleString(),
    restrictions: problems.join(", ") || "None",
  });
}

/** `ACTION_REQUIRED` is `Action required`. */
function statusText(status) {
  return status.charAt(0) + status.slice(1).toLowerCase().replaceAll("_", " ");
}

const STATES = { drawn: "Moving", fixed: "Fixed", path: "Path", halted: "Halted" };

function showPrices(prices) {
  // What a test has set comes first.
  const symbols = Object.entries(prices).toSorted(([, one], [, other]) => (one.state === "drawn") - (other.state === "drawn"));
  showRows("price", symbols.slice(0, MOST_PRICES), showPrice);
  showLeftOut(byId("prices-left-out"), symbols.length - MOST_PRICES, "of options");
}

function showPrice(row, { price, state, next }, symbol) {
  write(row, { symbol, price: priceText(price), state: STATES[state] ?? state, next: next ? stepText(next) : "" });
  cell(row, "next").hidden = !next;
}

function stepText([at, dollars]) {
  return `Next: ${dollars === null ? "moving" : priceText(dollars)} at ${MOMENT.format(dateOf(at))}`;
}

/** Rounded half to even, for display only. Given a string, `format` uses every digit of it. */
function moneyText(amount, currency) {
  return numberText(amount, { style: "currency", currency, roundingMode: "halfEven" });
}

function priceText(dollars) {
  return numberText(dollars, { style: "currency", currency: "USD", maximumFractionDigits: 9 });
}

function numberText(amount, style) {
  const text = new Intl.NumberFormat(undefined, { signDisplay: "negative", ...style }).format(amount);
  return text.replace("-", "−"); // as wide as a digit
}

function showLeftOut(node, count, which) {
  node.hidden = count <= 0;
  if (count > 0) setText(node, `${count.toLocaleString()} more, ${which}, are not shown.`);
}

// Elements

/** Keeps the row of each key, so that text stays selected, and only what has changed is written. */
function showRows(name, entries, show) {
  const body = byId(`${name}-rows`);
  const rows = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  entries.forEach(([key, shown], index) => {
    const row = rows.get(key) ?? byId(`${name}-row`).content.firstElementChild.cloneNode(true);
    rows.delete(key);
    row.dataset.key = key;
    show(row, shown, key);
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] ?? null);
  });
  for (const row of rows.values()) row.remove();
}

function cell(row, name) {
  return row.querySelector(`[data-cell="${name}"]`);
}

function write(row, texts) {
  for (const [name, text] of Object.entries(texts)) setText(cell(row, name), text);
}

function showTime(node, iso, format) {
  node.dateTime = iso;
  setText(node, format.format(dateOf(iso)));
}

/** ECMAScript knows milliseconds; the sandbox writes micro- and nanoseconds. */
function dateOf(iso) {
  return new Date(iso.replace(/(\.\d{3})\d+/, "$1"));
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // forbidden, or not there: browsers have it at loopback addresses and over HTTPS
  }
}

byId("copy").addEventListener("click", async ({ currentTarget: button }) => {
  const isCopied = await copy(byId("command").textContent);
  if (!isCopied) getSelection().selectAllChildren(byId("command"));
  setText(button, isCopied ? "Copied" : "Press Ctrl+C");
  setTimeout(setText, 4_000, button, "Copy");
});

// The start

const here = new URL(".", location.href).href.replace(/\/$/, "");
for (const node of document.querySelectorAll("[data-address]")) setText(node, `${here}${node.dataset.address}`);
for (const node of document.querySelectorAll("[data-socket]")) setText(node, `${here.replace("http", "ws")}${node.dataset.socket}`);
byId("copy").hidden = false;
showConnection("connecting", "Connecting…");
refresh();
