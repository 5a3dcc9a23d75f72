/** The totals of the cards, separately for paper, live and each currency. */

import { isStale } from "./card_state.js";
import { sum } from "./decimals.js";
import { element } from "./elements.js";
import { writeFigure } from "./figures.js";

/** `cards` by account id. */
export function updateTotals(cards) {
  for (const total of document.querySelectorAll("[data-total]")) {
    const included = [...cards.values()].filter((card) => card.dataset.environment === total.dataset.total);
    const known = included.filter((card) => card.querySelector("[data-figure=equity] data"));
    if (known.length) total.querySelector("[data-sums]").replaceChildren(...rows(known));
    const missing = total.querySelector("[data-missing]");
    missing.textContent = missingText(known, included);
    missing.hidden = !missing.textContent;
  }
}

function missingText(known, included) {
  const stale = known.filter(isStale).length;
  const counts = [
    known.length < included.length ? `${known.length} of ${included.length} accounts` : "",
    stale ? `${stale} not up to date` : "",
  ];
  return counts.filter(Boolean).join(" · ");
}

function rows(known) {
  const currencies = [...new Set(known.map((card) => card.dataset.currency))].sort();
  return currencies.flatMap((currency) => {
    const included = known.filter((card) => card.dataset.currency === currency);
    const total = (key) => sum(included.map((card) => card.querySelector(`[data-figure=${key}] data`).value));
    const suffix = currencies.length > 1 ? ` in ${currency}` : "";
    return [row(`Equity${suffix}`, total("equity"), currency), row(`Cash${suffix}`, total("balance"), currency)];
  });
}

function row(name, amount, currency) {
  const money = element("data", { class: "money", value: amount, "data-currency": currency });
  writeFigure(money);
  return element("div", {}, element("dt", {}, name), element("dd", {}, money));
}
