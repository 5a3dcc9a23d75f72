/**
 * Figures, from the decimal strings that they are and stay. Only what is shown is rounded, half to even: money, and
 * what came to it or went, to the currency's smallest coin; shares to the hundredth of a percent. Prices and quantities
 * keep every digit but zeros at the end. What is rounded to nothing has no sign and no colour. `figures.py` has the
 * same rules for a page without scripts.
 */

import { difference, isDecimal, ratio, signOf } from "./decimals.js";

const MINUS = "−"; // as wide as a plus, and easily read
// Of currencies without hundredths, or with thousandths, by ISO 4217.
const PLACES = new Map([
  ...allWith(0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
  ...allWith(3, "BHD IQD JOD KWD LYD OMR TND"),
]);
const HUNDREDTHS = roundedTo(2);
const EVERY_DIGIT = { maximumFractionDigits: mostFractionDigits() };
const PLAIN = new Intl.NumberFormat("en", { useGrouping: false, maximumFractionDigits: 10 });
const SIGNED = { signDisplay: "exceptZero" };

/** `formatMoney("-23140.2", "USD")` is `−$23,140.20` in English; what is no decimal is shown as it came. */
export function formatMoney(amount, currency) {
  return inCurrency(amount, currency, roundedTo(placesOf(currency)));
}

/** `formatGain("1136.7", "USD")` is `+$1,136.70`. */
export function formatGain(amount, currency) {
  return inCurrency(amount, currency, { ...roundedTo(placesOf(currency)), ...SIGNED });
}

/** What came to `before` or went, with its sign, and its share of that: `+$12.10 (+0.40%)`. */
export function formatChange(equity, before, currency) {
  const change = difference(equity, before);
  const gain = formatGain(change, currency);
  return signOf(before) > 0 ? `${gain} (${formatPercent(ratio(change, before, 4))})` : gain;
}

export function formatPrice(amount, currency) {
  return inCurrency(amount, currency, { ...EVERY_DIGIT, minimumFractionDigits: placesOf(currency) });
}

/** -1, 0 or 1: of an amount, or of what came to `before`, as it is shown. */
export function shownSign(amount, currency, before = "0") {
  return signOf(ratio(difference(amount, before), "1", placesOf(currency)));
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

/** Labels of an axis, in its currency and with as few decimals as tell them apart: `$48.20`, `$48.30`. */
export function formatAxis(numbers, currency) {
  const wanted = new Set(numbers).size;
  for (let places = 0; ; places += 1) {
    const labels = numbers.map((number) => inCurrency(plain(number), currency, roundedTo(places)));
    if (new Set(labels).size === wanted || places === 8) return labels;
  }
}

/** Of a number that the chart made, without an exponent and the last digits of a float, which say nothing. */
function plain(number) {
  return PLAIN.format(number);
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
  const currency = node.closest("[data-currency]")?.dataset.currency;
  node.textContent = WRITERS[kind](node.value, currency);
  if (kind !== "gain" && kind !== "percent") return;
  const sign = !isDecimal(node.value) ? 0 : kind === "gain" ? shownSign(node.value, currency) : signOf(ratio(node.value, "1", 4));
  node.classList.toggle("up", sign > 0);
  node.classList.toggle("down", sign < 0);
}

function placesOf(currency) {
  return PLACES.get(currency) ?? 2;
}

function allWith(places, currencies) {
  return currencies.split(" ").map((currency) => [currency, places]);
}

function roundedTo(places) {
  return { minimumFractionDigits: places, maximumFractionDigits: places, roundingMode: "halfEven" };
}

/** Browsers from before autumn 2023 refuse more than 20. */
function mostFractionDigits() {
  try {
    return new Intl.NumberFormat("en", { maximumFractionDigits: 100 }) && 100;
  } catch {
    return 20;
  }
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
