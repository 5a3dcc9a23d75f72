/**
 * Formats numbers from decimal strings. They are rounded half to even, and only for display: money and gains to the
 * currency's smallest unit, percentages to two decimals. Prices and quantities keep every digit except trailing zeros.
 * What rounds to zero has no sign and no color. `view/figures.py` has the same rules for pages without JavaScript.
 *
 * Where the device hides amounts, money, gains and quantities are masked. Prices and percentages are shown.
 */

import { difference, isDecimal, ratio, signOf } from "./decimals.js";
import { HIDES_AMOUNTS } from "./display.js";
import { element } from "./elements.js";

const MASK = "••••";
let isMasking = HIDES_AMOUNTS;
const MINUS = "−"; // as wide as a plus sign
// Currencies with a number of decimals other than two (ISO 4217).
const PLACES = new Map([
  ...allWith(0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
  ...allWith(3, "BHD IQD JOD KWD LYD OMR TND"),
]);
const HUNDREDTHS = roundedTo(2);
const EVERY_DIGIT = { maximumFractionDigits: mostFractionDigits() };
// A float of the chart as a decimal, without digits that are only rounding errors.
const PLAIN = new Intl.NumberFormat("en", { useGrouping: false, maximumSignificantDigits: 15 });
const MOST_PLACES = 15;
const DECIMAL_SEPARATOR = new Intl.NumberFormat().formatToParts(0.5).find(({ type }) => type === "decimal").value;
const WIDEST_WHOLE = 7; // characters of an axis label that is not abbreviated: $99,950
const LONGEST_LARGE = 16;
const SIGNED = { signDisplay: "exceptZero" };

/** `formatMoney("-23140.2", "USD")` is `−$23,140.20` in English; what is not a decimal is shown unchanged. */
export function formatMoney(amount, currency) {
  return isMasking ? MASK : inCurrency(amount, currency, roundedTo(placesOf(currency)));
}

/** `formatGain("1136.7", "USD")` is `+$1,136.70`. */
export function formatGain(amount, currency) {
  return isMasking ? MASK : inCurrency(amount, currency, { ...roundedTo(placesOf(currency)), ...SIGNED });
}

/** The difference to `before`, in money and percent: `+$12.10 (+0.40%)`. */
export function formatChange(equity, before, currency) {
  const change = difference(equity, before);
  const gain = formatGain(change, currency);
  return signOf(before) > 0 ? `${gain} (${formatPercent(ratio(change, before, 4))})` : gain;
}

export function formatPrice(amount, currency) {
  return inCurrency(amount, currency, { ...EVERY_DIGIT, minimumFractionDigits: placesOf(currency) });
}

/** -1, 0 or 1: the sign of an amount, or of its difference to `before`, after rounding. */
export function shownSign(amount, currency, before = "0") {
  return signOf(ratio(difference(amount, before), "1", placesOf(currency)));
}

/** Money with every digit, like the value that an order is for. */
export function formatAmount(amount, currency) {
  return isMasking ? MASK : formatPrice(amount, currency);
}

export function formatQuantity(amount) {
  return isMasking ? MASK : formatDecimal(amount);
}

/** A number that is no amount. */
export function formatDecimal(amount) {
  return isDecimal(amount) ? localize(amount, EVERY_DIGIT) : amount;
}

/** `formatPercent("0.0084")` is `+0.84%`. */
export function formatPercent(factor) {
  return isDecimal(factor) ? localize(factor, { style: "percent", ...HUNDREDTHS, ...SIGNED }) : factor;
}

/** `formatWeight("1234")`, in hundredths of a percent, is `12.34%`. */
export function formatWeight(hundredths) {
  return localize(`${hundredths}e-4`, { style: "percent", ...HUNDREDTHS });
}

/** Exact axis labels with the same number of decimals; long ones are abbreviated: `$48.20`, `$103.8K`. Hidden amounts have none. */
export function formatAxis(numbers, currency) {
  if (isMasking) return numbers.map(() => "");
  const label = (style) => (amount, places) => inCurrency(amount, currency, { ...places, ...style });
  const [whole, short] = [{}, { notation: "compact" }].map((style) => exactLabels(numbers, label(style)));
  return longest(whole) <= WIDEST_WHOLE || longest(whole) <= longest(short) ? whole : short;
}

/** The same for factors: `+0.50%`, `+0.75%`. */
export function formatAxisPercent(factors) {
  return exactLabels(factors, (factor, places) => localize(factor, { style: "percent", ...places, ...SIGNED }));
}

function exactLabels(numbers, label) {
  const amounts = numbers.map((number) => PLAIN.format(number));
  const places = Math.max(0, ...amounts.map((amount) => decimalsIn(label(amount, { maximumFractionDigits: MOST_PLACES, minimumFractionDigits: 0 }))));
  return amounts.map((amount) => label(amount, roundedTo(places)));
}

/** How many digits follow the decimal separator of a formatted number. */
function decimalsIn(text) {
  const [, fraction = ""] = text.split(DECIMAL_SEPARATOR);
  return /^\d*/.exec(fraction)[0].length;
}

function longest(labels) {
  return Math.max(...labels.map(({ length }) => length));
}

const FORMATTERS = {
  money: formatMoney,
  gain: formatGain,
  cash: formatGain,
  price: formatPrice,
  amount: formatAmount,
  quantity: formatQuantity,
  decimal: formatDecimal,
  percent: formatPercent,
  weight: formatWeight,
  change: (equity, currency, before) => formatChange(equity, before, currency),
};

/** Writes the text of a `<data>` by its class, in the currency of the nearest `data-currency`. */
export function writeFigure(node) {
  const kind = Object.keys(FORMATTERS).find((name) => node.classList.contains(name));
  if (!kind) return;
  const currency = node.closest("[data-currency]")?.dataset.currency;
  writeText(node, FORMATTERS[kind](node.value, currency, node.dataset.before));
  const signs = { gain: shownSign, change: shownSign, percent: (factor) => signOf(ratio(factor, "1", 4)) };
  if (!(kind in signs)) return;
  const sign = isDecimal(node.value) ? signs[kind](node.value, currency, node.dataset.before) : 0;
  node.classList.toggle("up", sign > 0);
  node.classList.toggle("down", sign < 0);
}

/** A changed number is highlighted with a color that fades. */
export function highlight(node) {
  node.classList.remove("changed");
  requestAnimationFrame(() => node.classList.add("changed"));
}

/** Calls `read` while these figures are not masked. Nothing of that is painted, because no task ends in between. */
export function withoutMasks(nodes, read) {
  isMasking = false;
  nodes.forEach(writeFigure);
  try {
    return read();
  } finally {
    isMasking = HIDES_AMOUNTS;
    nodes.forEach(writeFigure);
  }
}

/** Writes a text whose masks screen readers read as "hidden". */
export function writeText(node, text) {
  if (node.localName === "data") node.classList.toggle("long", text.length > LONGEST_LARGE);
  node.replaceChildren(...text.split(MASK).flatMap((part, index) => (index ? [...mask(), part] : [part])).filter(Boolean));
}

function mask() {
  return [element("span", { class: "mask", "aria-hidden": "true" }, MASK), element("span", { class: "visually-hidden" }, "hidden")];
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

/** Browsers from before autumn 2023 allow 20 at most. */
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
    return localize(amount, { style: "currency", currency, ...style });
  } catch {
    return `${localize(amount, style)} ${currency}`; // not a currency code
  }
}

// Given a string, `format` uses every digit of it (ECMA-402, ToIntlMathematicalValue).
function localize(amount, style) {
  // "negative" gives no sign to what rounds to zero.
  return new Intl.NumberFormat(undefined, { signDisplay: "negative", ...style }).format(amount).replace("-", MINUS);
}
