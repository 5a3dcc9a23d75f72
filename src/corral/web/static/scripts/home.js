/** Keeps the home page up to date: figures of the accounts, their age and problems, what needs attention, and totals. */

import "./engine.js";
import { read } from "./api.js";
import { keepAttention } from "./attention.js";
import * as cardState from "./card_state.js";
import { difference, ratio, signOf } from "./decimals.js";
import { element } from "./elements.js";
import { formatChange, shownSign, writeFigure, writeText } from "./figures.js";
import { searchAccounts } from "./account_search.js";
import { keepMarketState } from "./market.js";
import { keepOutageLine } from "./outages.js";
import { listenForKeys } from "./shortcuts.js";
import { keepSparklines } from "./sparklines.js";
import { connectStream } from "./stream.js";
import { updateCurves, updateTotals, writeFlow } from "./totals.js";

const CLOSES_DELAY_MS = 3000;
const cards = new Map([...document.querySelectorAll("[data-account]")].map((card) => [card.dataset.account, card]));
const attention = keepAttention(cards);
let updateSparklines = () => {};
let updateOutage = () => {};

searchAccounts();
submitOnChange();
listenForKeys(() => document.querySelector("[data-search]"));
if (cards.size) {
  updateSparklines = keepSparklines(cards);
  updateOutage = keepOutageLine(problemCodes, markExplained);
  keepMarketState();
  connectStream(
    { "account-data": showAccount, problem: showProblem, gap: showGap },
    { onState: confirmOrSuspend, onRestart: markAllUncertain },
  );
}

async function showAccount(account) {
  const card = cards.get(account.credential_id);
  if (!card) return;
  card.dataset.currency = account.currency;
  for (const figure of card.querySelectorAll("[data-figure]")) {
    updateFigure(figure, "money", account[figure.dataset.figure], account.currency);
  }
  showDayTrades(card, account);
  cardState.markAnswered(card, account.last_updated);
  attention.clearProblems(card);
  updateOutage();
  updateSparklines();
  if (card.dataset.lastEquity) {
    showChange(card);
    closesTimer ||= setTimeout(updateCloses, CLOSES_DELAY_MS);
  } else await updateCloses();
  updateTotals(cards);
  updateCurves(cards, account.last_updated);
}

function updateFigure(figure, kind, amount, currency) {
  const before = figure.querySelector("data");
  if (before?.value === amount) return;
  const data = element("data", { class: kind, value: amount, "data-currency": currency });
  writeFigure(data);
  figure.replaceChildren(data);
  if (before) data.classList.add("changed");
}

function showDayTrades(card, account) {
  const trades = part(card, "day-trades");
  if (!trades) return;
  trades.hidden = !account.pattern_day_trader && !account.daytrade_count;
  trades.textContent = `${account.pattern_day_trader ? "Pattern day trader · " : ""}Day trades: ${account.daytrade_count}`;
}

/** Today's P/L: one text on a card, and two cells of a row. */
function showChange(card) {
  const { lastEquity, currency } = card.dataset;
  const equity = card.querySelector("[data-figure=equity] data")?.value;
  if (!lastEquity || !equity || signOf(lastEquity) === 0) return;
  const change = part(card, "change");
  if (change) {
    const sign = shownSign(equity, currency, lastEquity);
    change.className = `change ${sign > 0 ? "up" : sign < 0 ? "down" : ""}`;
    writeText(change, formatChange(equity, lastEquity, currency));
    return;
  }
  const today = difference(equity, lastEquity);
  updateFigure(part(card, "today"), "gain", today, currency);
  if (signOf(lastEquity) > 0) updateFigure(part(card, "percent"), "percent", ratio(today, lastEquity, 8), currency);
  else part(card, "percent").textContent = "–";
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
    if (account.cash_flow) card.dataset.cashFlow = account.cash_flow;
    writeFlow(card, [card], card.dataset.currency);
    showWarnings(card, account.blocks);
    showChange(card);
  }
  updateTotals(cards);
}

function showWarnings(card, blocks) {
  const place = part(card, "warnings");
  if (place.tagName === "SPAN") place.textContent = blocks.length ? "Restricted." : "";
  else place.replaceChildren(...blocks.map((text) => element("p", { class: "notice warning" }, text)));
  attention.showBlocks(card, blocks);
}

/** An account's figures come from neither orders nor positions, so it does not show their problems. */
function showProblem(problem) {
  const card = cards.get(problem.credential_id);
  if (!card || /^(order|position)s?_/.test(problem.code)) return;
  cardState.showCardProblem(card, problem);
  attention.showProblem(card, problem);
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
  if (connection === "connected") updateCurves(cards, now.toISOString()); // of a chart drawn after the last event
}

/** A gap without an account concerns all of them: they are all sent again after it. */
function showGap({ credential_id: id }) {
  if (id === null) markAllUncertain();
}

function markAllUncertain() {
  for (const card of cards.values()) cardState.markUncertain(card);
}

/** Choosing is enough: with scripts, the button is not shown. */
function submitOnChange() {
  for (const button of document.querySelectorAll("[data-apply]")) {
    button.form.addEventListener("change", () => button.form.requestSubmit());
  }
}

function part(node, name) {
  return node.querySelector(`[data-${name}]`);
}
