/** The cards live: figures from the stream, and the sums of them. */

import { read } from "./api.js";
import { difference, signOf, sum } from "./decimals.js";
import { element } from "./elements.js";
import { formatChange, formatMoney } from "./figures.js";
import { formatMoment } from "./moment.js";
import { followStream } from "./stream.js";

const cards = new Map([...document.querySelectorAll("[data-account]")].map((card) => [card.dataset.account, card]));
const state = document.querySelector("[data-stream-state]");

if (cards.size) followStream({ "account-data": show, problem: tell }, tellState);

async function show(account) {
  const card = cards.get(account.credential_id);
  if (!card) return;
  card.dataset.currency = account.currency;
  part(card, "trouble").replaceChildren();
  part(card, "warnings").replaceChildren(...warnings(account));
  const figures = card.querySelector(".figures");
  figures.hidden = false;
  figures.classList.remove("waiting");
  for (const figure of card.querySelectorAll("[data-figure]")) {
    write(figure, account[figure.dataset.figure], account.currency);
  }
  const trades = part(card, "day-trades");
  trades.hidden = !account.pattern_day_trader && !account.daytrade_count;
  trades.textContent = `${account.pattern_day_trader ? "Pattern day trader · " : ""}Day trades: ${account.daytrade_count}`;
  const time = element("time");
  formatMoment(time, account.last_updated);
  part(card, "as-of").replaceChildren("As of ", time);
  addUp();
  if (!card.dataset.lastEquity) await learnCloses();
  showChange(card);
}

function write(figure, amount, currency) {
  const before = figure.querySelector("data");
  if (before?.value === amount) return;
  const money = element("data", { class: "money", value: amount, "data-currency": currency }, formatMoney(amount, currency));
  figure.replaceChildren(money);
  if (before) money.classList.add(signOf(difference(amount, before.value)) > 0 ? "rose" : "fell");
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
function tell({ credential_id: id, code, detail, resolved }) {
  const card = cards.get(id);
  if (!card) return;
  const trouble = part(card, "trouble");
  trouble.querySelector(`[data-code="${CSS.escape(code)}"]`)?.remove();
  if (resolved) return;
  const isQuiet = code.startsWith("order_stream");
  if (!isQuiet) trouble.append(element("p", { class: "notice problem", "data-code": code }, detail));
}

function warnings(account) {
  return [
    account.account_blocked ? "Alpaca has blocked this account." : null,
    account.trading_blocked ? "Alpaca has blocked trading." : null,
  ]
    .filter(Boolean)
    .map((text) => element("p", { class: "notice warning" }, text));
}

function addUp() {
  for (const total of document.querySelectorAll("[data-total]")) {
    const its = [...cards.values()].filter((card) => card.dataset.environment === total.dataset.total);
    const known = its.filter((card) => card.querySelector("[data-figure=equity] data"));
    total.querySelector("[data-sums]").replaceChildren(...sums(known));
    const missing = part(total, "missing");
    missing.hidden = known.length === its.length;
    missing.textContent = `${known.length} of ${its.length} accounts`;
  }
}

function sums(known) {
  const currencies = [...new Set(known.map((card) => card.dataset.currency))].sort();
  return currencies.flatMap((currency) => {
    const its = known.filter((card) => card.dataset.currency === currency);
    const of = (key) => sum(its.map((card) => card.querySelector(`[data-figure=${key}] data`).value));
    const suffix = currencies.length > 1 ? ` in ${currency}` : "";
    return [row(`Equity${suffix}`, of("equity"), currency), row("Balance", of("balance"), currency)];
  });
}

function row(name, amount, currency) {
  const money = element("data", { class: "money", value: amount, "data-currency": currency }, formatMoney(amount, currency));
  return element("div", {}, element("dt", {}, name), element("dd", {}, money));
}

function tellState(now) {
  state.hidden = now === "live";
  state.textContent = "The live connection is lost. Figures may be old; trying again…";
}

function part(node, name) {
  return node.querySelector(`[data-${name}]`);
}
