/** Keeps the pages of one account up to date: figures, positions, totals and orders. */

import "./engine.js";
import { keepProblems } from "./account_problems.js";
import { read } from "./api.js";
import { signOf, sum } from "./decimals.js";
import { element } from "./elements.js";
import { formatChange, highlight, shownSign, writeFigure, writeText } from "./figures.js";
import { connectStream } from "./stream.js";
import { formatTimestamp } from "./timestamps.js";

const page = document.querySelector("[data-account]");
const hadProblem = page.querySelector("[data-problems] [data-code]") !== null; // so parts of the page are missing
const problems = keepProblems(page);
const details = page.querySelector("[data-details]");
const change = page.querySelector("[data-change]");
const waitLink = document.querySelector("a[data-wait]");
const DETAILS_DELAY_MS = 3000;
// Orders of which the stream tells because Corral has just found them, or because it has just begun.
const NO_NEWS = new Set(["reconciled", "state"]);
const CELLS = ["qty", "current_price", "market_value", "unrealized_pl", "unrealized_intraday_pl", "unrealized_plpc"];

let detailsTimer = 0;
showChange();
if (waitLink) location.replace(waitLink.href);
else {
  const handlers = { "account-data": showAccount, order: showOrder, problem: onlyThisAccount(showProblem) };
  if (page.querySelector("#positions")) handlers.position = showPosition;
  connectStream(handlers, { account: page.dataset.account, onState: confirm });
}

/** Other problems are about the stream itself. */
function onlyThisAccount(show) {
  return (payload) => payload.credential_id === page.dataset.account && show(payload);
}

function showAccount(account) {
  page.dataset.currency = account.currency;
  for (const figure of page.querySelectorAll("[data-figure] data")) {
    figure.dataset.currency = account.currency;
    update(figure, account[figure.parentElement.dataset.figure]);
  }
  const time = element("time");
  formatTimestamp(time, account.last_updated);
  page.querySelector("[data-as-of]")?.replaceChildren("As of ", time);
  problems.confirm(account.last_updated);
  showChange(account.equity);
  for (const chart of page.querySelectorAll("[data-equity-chart]")) {
    Object.assign(chart.dataset, { equity: account.equity, equityAt: account.last_updated });
  }
  if (details) detailsTimer ||= setTimeout(updateDetails, DETAILS_DELAY_MS);
}

/** The server has what the stream does not send, from the same response of Alpaca. */
async function updateDetails() {
  detailsTimer = 0;
  const payload = await read(`/accounts/${page.dataset.account}/details`).catch(() => null);
  if (!payload) return;
  for (const [key, amount] of Object.entries(payload.figures)) update(details.querySelector(`[data-detail=${key}] data`), amount);
  const blocks = payload.blocks.map((text) => element("p", { class: "notice warning" }, text));
  page.querySelector("[data-blocks]").replaceChildren(...blocks);
  if (change && payload.last_equity !== null) change.dataset.before = payload.last_equity;
  showChange();
}

function showChange(equity = change?.value) {
  if (!change) return;
  const { before } = change.dataset;
  const sign = shownSign(equity, page.dataset.currency, before);
  change.value = equity;
  writeText(change, formatChange(equity, before, page.dataset.currency));
  change.classList.toggle("up", sign > 0);
  change.classList.toggle("down", sign < 0);
}

function showPosition(position) {
  const row = page.querySelector(`[data-asset="${CSS.escape(position.asset_id)}"]`);
  const positions = page.querySelector("#positions");
  if (!positions) return;
  if (Boolean(row) !== (signOf(position.qty) !== 0)) {
    const notice = positions.querySelector("[data-positions-changed]");
    if (notice) notice.hidden = false;
    return;
  }
  if (!row) return;
  row.classList.toggle("stale", position.stale);
  for (const name of CELLS) update(row.querySelector(`[data-cell=${name}]`), position[name]);
  updateTotals();
}

function updateTotals() {
  updateSums(page, "data-sum");
  for (const group of page.querySelectorAll("[data-group]")) updateSums(group, "data-group-sum");
}

/** Sums of all positions within `part`, written to the elements with that attribute. */
function updateSums(part, attribute) {
  for (const name of ["market_value", "unrealized_pl", "unrealized_intraday_pl"]) {
    const total = sum([...part.querySelectorAll(`tr[data-asset] [data-cell=${name}]`)].map(({ value }) => value));
    for (const node of part.querySelectorAll(`[${attribute}=${name}] data`)) update(node, total);
  }
}

function showOrder(order) {
  page.dispatchEvent(new CustomEvent("order", { detail: order }));
  const row = page.querySelector(`[data-order="${CSS.escape(order.id)}"]`);
  const notice = page.querySelector("[data-orders-changed]");
  if (row) {
    row.querySelector("[data-cell=status]").textContent = statusName(order.status);
    update(row.querySelector("[data-cell=filled_qty]"), order.filled_qty);
  } else if (notice && !NO_NEWS.has(order.event)) notice.hidden = false;
}

/** `partially_filled` is `Partially filled`. */
function statusName(status) {
  return status.charAt(0).toUpperCase() + status.slice(1).replaceAll("_", " ");
}

function showProblem(problem) {
  if (problem.code === "credential_inactive" && hadProblem && !problem.resolved) return; // the page says more
  if (problem.resolved && hadProblem) location.reload();
  if (!problem.code.startsWith("order_stream")) problems.show(problem);
}

function confirm(connection) {
  if (connection === "connected") problems.confirm(new Date().toISOString());
}

function update(node, amount) {
  if (!node || amount === null || amount === undefined || node.value === amount) return;
  node.value = amount;
  writeFigure(node);
  highlight(node);
}
