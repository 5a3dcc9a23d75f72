/** The sums over the cards, paper and live apart, and each currency by itself. */

import { isStale } from "./card_state.js";
import { sum } from "./decimals.js";
import { element } from "./elements.js";
import { formatMoney } from "./figures.js";

/** `cards` by the account's id. */
export function addUp(cards) {
  for (const total of document.querySelectorAll("[data-total]")) {
    const its = [...cards.values()].filter((card) => card.dataset.environment === total.dataset.total);
    const known = its.filter((card) => card.querySelector("[data-figure=equity] data"));
    if (known.length) total.querySelector("[data-sums]").replaceChildren(...sums(known));
    const missing = total.querySelector("[data-missing]");
    missing.textContent = lacking(known, its);
    missing.hidden = !missing.textContent;
  }
}

function lacking(known, its) {
  const stale = known.filter(isStale).length;
  const counts = [known.length < its.length ? `${known.length} of ${its.length} accounts` : "", stale ? `${stale} stale` : ""];
  return counts.filter(Boolean).join(" · ");
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
