/** The cards live: figures from the stream, since when they are old, and the sums of them. */

import { read } from "./api.js";
import { answered, confirm, doubt, loseTouch, troubled } from "./card_state.js";
import { difference, signOf } from "./decimals.js";
import { element } from "./elements.js";
import { formatChange, formatMoney } from "./figures.js";
import { followLines } from "./lines.js";
import { formatMoment } from "./moment.js";
import { followStream } from "./stream.js";
import { addUp } from "./totals.js";

const cards = new Map([...document.querySelectorAll("[data-account]")].map((card) => [card.dataset.account, card]));
const state = document.querySelector("[data-stream-state]");
let lastHeard = new Date();
let moved = () => {};

if (cards.size) {
  moved = followLines(cards);
  followStream({ "account-data": show, problem: tell, gap: miss }, tellState, doubtAll);
}

async function show(account) {
  const card = cards.get(account.credential_id);
  if (!card) return;
  card.dataset.currency = account.currency;
  part(card, "warnings").replaceChildren(...warnings(account));
  for (const figure of card.querySelectorAll("[data-figure]")) {
    write(figure, account[figure.dataset.figure], account.currency);
  }
  const trades = part(card, "day-trades");
  trades.hidden = !account.pattern_day_trader && !account.daytrade_count;
  trades.textContent = `${account.pattern_day_trader ? "Pattern day trader · " : ""}Day trades: ${account.daytrade_count}`;
  answered(card, account.last_updated);
  addUp(cards);
  moved();
  if (!card.dataset.lastEquity) await learnCloses();
  showChange(card);
}

function write(figure, amount, currency) {
  const before = figure.querySelector("data");
  if (before?.value === amount) return;
  const money = element("data", { class: "money", value: amount, "data-currency": currency }, formatMoney(amount, currency));
  figure.replaceChildren(money);
  if (before) money.classList.add("changed");
}

function showChange(card) {
  const { lastEquity, currency } = card.dataset;
  const equity = card.querySelector("[data-figure=equity] data")?.value;
  if (!lastEquity || !equity) return;
  const change = part(card, "change");
  const sign = signOf(difference(equity, lastEquity));
  change.className = `change ${sign > 0 ? "up" : sign < 0 ? "down" : ""}`;
  change.textContent = formatChange(equity, lastEquity, currency);
}

let closes = null;

async function learnCloses() {
  closes ??= read("/closes").catch(() => ({}));
  const found = await closes;
  closes = null;
  for (const [id, lastEquity] of Object.entries(found)) {
    const card = cards.get(id);
    if (card && lastEquity) card.dataset.lastEquity = lastEquity;
  }
}

/** Troubles of one account stand in its card, with the last figures in place. */
function tell(problem) {
  const card = cards.get(problem.credential_id);
  if (!card || problem.code.startsWith("order_stream")) return;
  troubled(card, problem);
  addUp(cards);
}

function warnings(account) {
  return [
    account.account_blocked ? "Alpaca has blocked this account." : null,
    account.trading_blocked ? "Alpaca has blocked trading." : null,
  ]
    .filter(Boolean)
    .map((text) => element("p", { class: "notice warning" }, text));
}

function tellState(now) {
  if (now === "live") {
    lastHeard = new Date();
    for (const card of cards.values()) confirm(card, lastHeard);
  } else if (state.hidden) {
    for (const card of cards.values()) loseTouch(card);
    const time = element("time");
    formatMoment(time, lastHeard.toISOString());
    state.replaceChildren("Not live since ", time, ": the live connection is lost. Trying again…");
  }
  state.hidden = now === "live";
}

/** Without an account, a gap is one before all of them are told anew. */
function miss({ credential_id: id }) {
  if (id === null) doubtAll();
}

function doubtAll() {
  for (const card of cards.values()) doubt(card);
}

function part(node, name) {
  return node.querySelector(`[data-${name}]`);
}
