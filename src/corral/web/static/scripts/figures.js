/**
 * Figures, from the decimal strings that they are and stay. Only what is shown is rounded, half to even: money, and
 * what came to it or went, to the hundredth; shares to the hundredth of a percent. Prices and quantities keep every
 * digit but zeros at the end. `figures.py` has the same rules for a page without scripts.
 */

import { difference, isDecimal, ratio, signOf } from "./decimals.js";

const MINUS = "−"; // as wide as a plus, and easily read
const HUNDREDTHS = { minimumFractionDigits: 2, maximumFractionDigits: 2, roundingMode: "halfEven" };
const EVERY_DIGIT = { maximumFractionDigits: 100 };
const SIGNED = { signDisplay: "exceptZero" };

/** `formatMoney("-23140.2", "USD")` is `−$23,140.20` in English; what is no decimal is shown as it came. */
export function formatMoney(amount, currency) {
  return inCurrency(amount, currency, HUNDREDTHS);
}

/** `formatGain("1136.7", "USD")` is `+$1,136.70`. */
export function formatGain(amount, currency) {
  return inCurrency(amount, currency, { ...HUNDREDTHS, ...SIGNED });
}

/** What came to `before` or went, with its sign, and its share of that: `+$12.10 (+0.40%)`. */
export function formatChange(equity, before, currency) {
  const change = difference(equity, before);
  const gain = formatGain(change, currency);
  return signOf(before) > 0 ? `${gain} (${formatPercent(ratio(change, before, 4))})` : gain;
}

export function formatPrice(amount, currency) {
  return inCurrency(amount, currency, { ...EVERY_DIGIT, minimumFractionDigits: 2 });
}

export function formatQuantity(amount) {
  return isDecimal(amount) ? written(amount, EVERY_DIGIT) : amount;
}

/** `formatPercent("0.0084")` is `+0.84%`. */
export function formatPercent(factor) {
  return isDecimal(factor) ? written(factor, { style: "percent", ...HUNDREDTHS, ...SIGNED }) : factor;
}

/** `formatWeight("1234")`, in hundredths of a percent, is `12.34%`. */
export function formatWeight(hundredths) {
  return written(`${hundredths}e-4`, { style: "percent", ...HUNDREDTHS });
}

const WRITERS = {
  money: formatMoney,
  gain: formatGain,
  price: formatPrice,
  quantity: formatQuantity,
  percent: formatPercent,
  weight: formatWeight,
};

/** Writes a `<data>` anew, of whose classes one says what it is, in the currency that is named around it. */
export function writeFigure(node) {
  const kind = Object.keys(WRITERS).find((name) => node.classList.contains(name));
  if (!kind) return;
  node.textContent = WRITERS[kind](node.value, node.closest("[data-currency]")?.dataset.currency);
  if (kind !== "gain" && kind !== "percent") return;
  const sign = isDecimal(node.value) ? signOf(node.value) : 0;
  node.classList.toggle("up", sign > 0);
  node.classList.toggle("down", sign < 0);
}

function inCurrency(amount, currency, style) {
  if (!isDecimal(amount)) return `${amount} ${currency}`;
  try {
    return written(amount, { style: "currency", currency, ...style });
  } catch {
    return `${written(amount, style)} ${currency}`; // no code of a currency
  }
}

// Given a string, it reads every digit of it (ECMA-402, ToIntlMathematicalValue).
function written(amount, style) {
  // "negative", for what is rounded to nothing is not less than nothing.
  return new Intl.NumberFormat(undefined, { signDisplay: "negative", ...style }).format(amount).replace("-", MINUS);
}
