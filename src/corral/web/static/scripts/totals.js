/** The totals of the page: of all accounts of an environment or of a group in it, separately for each currency. */

import { isStale } from "./card_state.js";
import { difference, ratio, signOf, sum } from "./decimals.js";
import { element } from "./elements.js";
import { writeFigure } from "./figures.js";

/** `cards` by account id. */
export function updateTotals(cards) {
  for (const total of document.querySelectorAll("[data-total]")) {
    const { total: environment, totalGroup } = total.dataset;
    const included = [...cards.values()].filter(
      ({ classList, dataset }) => classList.contains(environment) && (totalGroup === undefined || dataset.group === totalGroup),
    );
    const known = included.filter((card) => amountOf(card, "equity") !== undefined);
    if (total.matches("tr")) writeRow(total, known);
    else writeSums(total, known);
    const missing = total.closest(".summary")?.querySelector("[data-missing]");
    if (missing) missing.textContent = missingText(known, included);
  }
}

function missingText(known, included) {
  const stale = known.filter(isStale).length;
  const unclosed = known.filter((card) => !hasClose(card)).length;
  const counts = [
    known.length < included.length ? `includes ${known.length} of ${included.length} accounts` : "",
    unclosed ? `today's P/L of ${known.length - unclosed} of ${known.length} accounts` : "",
    stale ? `${stale} not up to date` : "",
  ];
  const text = counts.filter(Boolean).join(" · ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Every currency has a part of its own. */
function writeSums(total, known) {
  const currencies = [...new Set(known.map((card) => card.dataset.currency))].sort();
  for (const currency of currencies) {
    const part = partFor(total, currency);
    const included = known.filter((card) => card.dataset.currency === currency);
    const name = part.querySelector("[data-equity-name]");
    if (name) name.textContent = currencies.length > 1 ? `Equity in ${currency}` : "Equity";
    writeAmounts(part, included, currency);
    const [today, percent] = todayOf(included);
    write(part, "today", [["gain", today], ["percent", percent]], currency);
    writeFlow(part, included.filter(hasClose), currency);
  }
}

/** Money that came in or went out since the last close, which today's P/L includes. */
export function writeFlow(part, accounts, currency) {
  const place = part.querySelector("[data-flow]");
  if (!place) return;
  const flows = accounts.map(({ dataset }) => dataset.cashFlow).filter((flow) => flow && signOf(flow) !== 0);
  const directions = [
    [flows.filter((flow) => signOf(flow) > 0), "deposited"],
    [flows.filter((flow) => signOf(flow) < 0).map((flow) => difference("0", flow)), "withdrawn"],
  ];
  const texts = directions.filter(([amounts]) => amounts.length).map(([amounts, word]) => {
    const data = element("data", { class: "money", value: sum(amounts), "data-currency": currency });
    writeFigure(data);
    return [data, ` ${word}`];
  });
  place.replaceChildren(...(texts.length ? ["includes ", ...texts.flatMap((text, index) => (index ? [" and ", ...text] : text))] : []));
}

/** The curves end with the current equity of their accounts, if it is known of all of them. */
export function updateCurves(cards, at) {
  for (const { dataset } of document.querySelectorAll("[data-equity-chart][data-accounts]")) {
    const included = dataset.accounts.split(" ").map((id) => cards.get(id));
    const amounts = included.map((card) => card && amountOf(card, "equity"));
    if (amounts.includes(undefined)) continue;
    const equity = sum(amounts);
    if (equity !== dataset.equity) Object.assign(dataset, { equity, equityAt: at });
  }
}

/** A row of a table is of one currency, which may be unknown yet. */
function writeRow(row, known) {
  row.dataset.currency ||= known[0]?.dataset.currency ?? "";
  const { currency } = row.dataset;
  const included = known.filter((card) => card.dataset.currency === currency);
  if (!included.length) return;
  writeAmounts(row, included, currency);
  const [today, percent] = todayOf(included);
  write(row, "today", [["gain", today]], currency);
  write(row, "percent", [["percent", percent]], currency);
}

function writeAmounts(part, included, currency) {
  for (const key of ["equity", "balance", "buying_power"]) {
    write(part, key, [["money", sum(included.map((card) => amountOf(card, key)))]], currency);
  }
}

/** In money and as a factor, of the accounts with an equity at the previous close; null where there is none. */
function todayOf(accounts) {
  const included = accounts.filter(hasClose);
  if (!included.length) return [null, null];
  const before = sum(included.map(({ dataset }) => dataset.lastEquity));
  const today = difference(sum(included.map((card) => amountOf(card, "equity"))), before);
  return [today, signOf(before) > 0 ? ratio(today, before, 8) : null];
}

function hasClose({ dataset }) {
  return Boolean(dataset.lastEquity) && signOf(dataset.lastEquity) !== 0;
}

/** The sums of a currency; the page has at least one part, whose currency may be unknown yet. */
function partFor(total, currency) {
  const parts = [...total.querySelectorAll("[data-sums]")];
  const found = parts.find(({ dataset }) => dataset.currency === currency) ?? parts.find(({ dataset }) => !dataset.currency);
  const part = found ?? parts[0].cloneNode(true);
  if (!found) total.append(part);
  part.dataset.currency = currency;
  return part;
}

/** `figures` are pairs of a kind and a value; those without a value are left out. */
function write(part, key, figures, currency) {
  const place = part.querySelector(`[data-sum=${key}]`);
  if (!place) return;
  const known = figures.filter(([, value]) => value !== null);
  const before = [...place.querySelectorAll("data")].map(({ value }) => value);
  if (known.length && before.join() === known.map(([, value]) => value).join()) return;
  const nodes = known.map(([kind, value]) => element("data", { class: kind, value, "data-currency": currency }));
  for (const node of nodes) {
    writeFigure(node);
    if (before.length) node.classList.add("changed");
  }
  place.replaceChildren(...nodes.flatMap((node, index) => (index ? [" ", node] : [node])));
  if (!nodes.length) place.textContent = "–";
}

function amountOf(card, key) {
  return card.querySelector(`[data-figure=${key}] data`)?.value;
}
