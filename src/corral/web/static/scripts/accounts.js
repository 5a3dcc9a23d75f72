/** Keeps the account cards up to date: figures, their age, problems and totals. */

import { read } from "./api.js";
import * as cardState from "./card_state.js";
import { element } from "./elements.js";
import { formatChange, shownSign, writeFigure, writeText } from "./figures.js";
import { keepOutageLine } from "./outages.js";
import { keepSparklines } from "./sparklines.js";
import { connectStream } from "./stream.js";
import { updateTotals } from "./totals.js";

const CLOSES_DELAY_MS = 3000;
const cards = new Map([...document.querySelectorAll("[data-account]")].map((card) => [card.dataset.account, card]));
let updateSparklines = () => {};
let updateOutage = () => {};

if (cards.size) {
  updateSparklines = keepSparklines(cards);
  updateOutage = keepOutageLine(problemCodes, markExplained);
  connectStream({ "account-data": showAccount, problem: showProblem, gap: showGap }, confirmOrSuspend, markAllUncertain);
}

async function showAccount(account) {
  const card = cards.get(account.credential_id);
  if (!card) return;
  card.dataset.currency = account.currency;
  for (const figure of card.querySelectorAll("[data-figure]")) {
    updateFigure(figure, account[figure.dataset.figure], account.currency);
  }
  const trades = part(card, "day-trades");
  trades.hidden = !account.pattern_day_trader && !account.daytrade_count;
  trades.textContent = `${account.pattern_day_trader ? "Pattern day trader · " : ""}Day trades: ${account.daytrade_count}`;
  cardState.markAnswered(card, account.last_updated);
  updateOutage();
  updateTotals(cards);
  updateSparklines();
  if (card.dataset.lastEquity) closesTimer ||= setTimeout(updateCloses, CLOSES_DELAY_MS);
  else await updateCloses();
  showChange(card);
}

function updateFigure(figure, amount, currency) {
  const before = figure.querySelector("data");
  if (before?.value === amount) return;
  const money = element("data", { class: "money", value: amount, "data-currency": currency });
  writeFigure(money);
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
  writeText(change, formatChange(equity, lastEquity, currency));
}

let pendingCloses = null;
let closesTimer = 0;

/** What the stream does not send: equity at the previous close, and warnings. */
async function updateCloses() {
  closesTimer = 0;
  pendingCloses ??= read("/closes").catch(() => ({}));
  const closes = await pendingCloses;
  pendingCloses = null;
  for (const [id, account] of Object.entries(closes)) {
    const card = cards.get(id);
    if (!card || !account) continue;
    if (account.last_equity) card.dataset.lastEquity = account.last_equity;
    const warnings = account.blocks.map((text) => element("p", { class: "notice warning" }, text));
    part(card, "warnings").replaceChildren(...warnings);
  }
}

/** A card shows neither orders nor positions, so it does not show their problems. */
function showProblem(problem) {
  const card = cards.get(problem.credential_id);
  if (!card || /^(order|position)s?_/.test(problem.code)) return;
  cardState.showCardProblem(card, problem);
  updateOutage();
  updateTotals(cards);
}

function problemCodes() {
  return [...cards.values()].map(cardState.problemCodes);
}

function markExplained(isExplained) {
  for (const card of cards.values()) cardState.markExplained(card, isExplained);
}

function confirmOrSuspend(connection) {
  const now = new Date();
  for (const card of cards.values()) {
    if (connection === "connected") cardState.confirmCard(card, now);
    else cardState.suspendCard(card);
  }
}

/** A gap without an account concerns all of them: they are all sent again after it. */
function showGap({ credential_id: id }) {
  if (id === null) markAllUncertain();
}

function markAllUncertain() {
  for (const card of cards.values()) cardState.markUncertain(card);
}

function part(node, name) {
  return node.querySelector(`[data-${name}]`);
}
