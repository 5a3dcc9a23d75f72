/** The cards live: figures from the stream, since when they are old, and the sums of them. */

import { read } from "./api.js";
import { answered, confirm, doubt, loseTouch, troubled } from "./card_state.js";
import { element } from "./elements.js";
import { formatChange, formatMoney, shownSign } from "./figures.js";
import { followLines } from "./lines.js";
import { formatMoment } from "./moment.js";
import { followStream } from "./stream.js";
import { addUp } from "./totals.js";

const LEARN_EVERY_MS = 3000;
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
  for (const figure of card.querySelectorAll("[data-figure]")) {
    write(figure, account[figure.dataset.figure], account.currency);
  }
  const trades = part(card, "day-trades");
  trades.hidden = !account.pattern_day_trader && !account.daytrade_count;
  trades.textContent = `${account.pattern_day_trader ? "Pattern day trader · " : ""}Day trades: ${account.daytrade_count}`;
  answered(card, account.last_updated);
  addUp(cards);
  moved();
  if (card.dataset.lastEquity) due ||= setTimeout(learnCloses, LEARN_EVERY_MS);
  else await learnCloses();
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
  const sign = shownSign(equity, currency, lastEquity);
  change.className = `change ${sign > 0 ? "up" : sign < 0 ? "down" : ""}`;
  change.textContent = formatChange(equity, lastEquity, currency);
}

let closes = null;
let due = 0;

/** What the stream does not send: the equity at the last close, and what stops trading. */
async function learnCloses() {
  due = 0;
  closes ??= read("/closes").catch(() => ({}));
  const found = await closes;
  closes = null;
  for (const [id, known] of Object.entries(found)) {
    const card = cards.get(id);
    if (!card || !known) continue;
    if (known.last_equity) card.dataset.lastEquity = known.last_equity;
    const warnings = known.blocks.map((text) => element("p", { class: "notice warning" }, text));
    part(card, "warnings").replaceChildren(...warnings);
  }
}

/** Troubles of one account stand in its card, with the last figures in place. A card has no orders and no positions. */
function tell(problem) {
  const card = cards.get(problem.credential_id);
  if (!card || /^(order|position)s?_/.test(problem.code)) return;
  troubled(card, problem);
  addUp(cards);
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
