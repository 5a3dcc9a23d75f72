/** The pages of one account live: its figures, its positions and their sums, its orders. */

import { read } from "./api.js";
import { signOf, sum } from "./decimals.js";
import { element } from "./elements.js";
import { formatChange, shownSign, writeFigure } from "./figures.js";
import { formatMoment } from "./moment.js";
import { followStream } from "./stream.js";

const page = document.querySelector("[data-account]");
const state = document.querySelector("[data-stream-state]");
const wasMadeInTrouble = page.querySelector("[data-trouble] [data-code]") !== null; // and lacks what that kept from it
const details = page.querySelector("[data-details]");
const change = page.querySelector("[data-change]");
const underWay = document.querySelector("a[data-wait]");
const DETAILS_EVERY_MS = 3000;
const CELLS = ["qty", "current_price", "market_value", "unrealized_pl", "unrealized_intraday_pl", "unrealized_plpc"];

let due = 0;
showChange();
if (underWay) location.replace(underWay.href);
else {
  const handlers = { "account-data": showAccount, position: showPosition, order: showOrder, problem: showProblem };
  followStream(Object.fromEntries(Object.entries(handlers).map(([name, show]) => [name, ifOfThisPage(show)])), showState);
}

function ifOfThisPage(show) {
  return (told) => told.credential_id === page.dataset.account && show(told);
}

function showAccount(account) {
  page.dataset.currency = account.currency;
  for (const figure of page.querySelectorAll("[data-figure] data")) {
    figure.dataset.currency = account.currency;
    write(figure, account[figure.parentElement.dataset.figure]);
  }
  const time = element("time");
  formatMoment(time, account.last_updated);
  page.querySelector("[data-as-of]")?.replaceChildren("As of ", time);
  showChange(account.equity);
  if (details) due ||= setTimeout(learnDetails, DETAILS_EVERY_MS);
}

/** What the stream does not tell, the server knows from the answer that the stream just told of. */
async function learnDetails() {
  due = 0;
  const told = await read(`/accounts/${page.dataset.account}/details`).catch(() => null);
  if (!told) return;
  for (const [key, amount] of Object.entries(told.figures)) write(details.querySelector(`[data-detail=${key}] data`), amount);
  const blocks = told.blocks.map((words) => element("p", { class: "notice warning" }, words));
  page.querySelector("[data-blocks]").replaceChildren(...blocks);
  if (change && told.last_equity !== null) change.dataset.before = told.last_equity;
  showChange();
}

function showChange(equity = change?.value) {
  if (!change) return;
  const { before } = change.dataset;
  const sign = shownSign(equity, page.dataset.currency, before);
  change.value = equity;
  change.textContent = formatChange(equity, before, page.dataset.currency);
  change.classList.toggle("up", sign > 0);
  change.classList.toggle("down", sign < 0);
}

function showPosition(position) {
  const row = page.querySelector(`[data-asset="${CSS.escape(position.asset_id)}"]`);
  const positions = page.querySelector("#positions");
  if (!positions) return;
  if (Boolean(row) !== (signOf(position.qty) !== 0)) {
    const changed = positions.querySelector("[data-positions-changed]");
    if (changed) changed.hidden = false;
    return;
  }
  if (!row) return;
  row.classList.toggle("stale", position.stale);
  for (const name of CELLS) write(row.querySelector(`[data-cell=${name}]`), position[name]);
  addUp();
}

function addUp() {
  for (const name of ["market_value", "unrealized_pl", "unrealized_intraday_pl"]) {
    const total = sum([...page.querySelectorAll(`tr[data-asset] [data-cell=${name}]`)].map(({ value }) => value));
    for (const place of page.querySelectorAll(`[data-sum=${name}] data`)) write(place, total);
  }
}

function showOrder(order) {
  const row = page.querySelector(`[data-order="${CSS.escape(order.id)}"]`);
  const changed = page.querySelector("[data-orders-changed]");
  if (row) {
    row.querySelector("[data-cell=status]").textContent = order.status.replaceAll("_", " ");
    write(row.querySelector("[data-cell=filled_qty]"), order.filled_qty);
  } else if (changed && order.event !== "reconciled") changed.hidden = false;
}

function showProblem({ code, detail, resolved }) {
  const trouble = page.querySelector("[data-trouble]");
  trouble.querySelector(`[data-code="${CSS.escape(code)}"]`)?.remove();
  if (resolved && wasMadeInTrouble) location.reload();
  if (resolved || code.startsWith("order_stream")) return;
  trouble.append(element("p", { class: "notice problem", "data-code": code }, detail));
}

function showState(now) {
  state.hidden = now === "live";
  state.textContent = "The live connection is lost. Figures may be old; trying again…";
}

/** A number that is another one says so quietly, by a colour that fades. */
function write(node, amount) {
  if (!node || amount === null || amount === undefined || node.value === amount) return;
  node.value = amount;
  writeFigure(node);
  node.classList.remove("changed");
  requestAnimationFrame(() => node.classList.add("changed"));
}
