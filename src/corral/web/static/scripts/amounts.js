/** Gains, prices, quantities and shares, from the decimal strings that they are. */

import { isDecimal } from "./decimals.js";
import { formatMoney } from "./money.js";

const MINUS = "−";
const TWO = { minimumFractionDigits: 2, maximumFractionDigits: 2, roundingMode: "halfEven" };

/** `formatGain("1136.7", "USD")` is `+$1,136.70`. */
export function formatGain(amount, currency) {
  return formatMoney(amount, currency, "exceptZero");
}

/** With every digit, and two decimals at least. */
export function formatPrice(amount, currency) {
  if (!isDecimal(amount)) return `${amount} ${currency}`;
  return readable({ style: "currency", currency, maximumFractionDigits: 20, minimumFractionDigits: 2 }, amount);
}

export function formatQuantity(amount) {
  return isDecimal(amount) ? readable({ maximumFractionDigits: 20 }, amount) : amount;
}

/** `formatPercent("0.0084")` is `+0.84 %`. */
export function formatPercent(factor) {
  return isDecimal(factor) ? readable({ style: "percent", ...TWO, signDisplay: "exceptZero" }, factor) : factor;
}

// Given a string, it reads every digit of it (ECMA-402, ToIntlMathematicalValue).
function readable(style, amount) {
  return new Intl.NumberFormat(undefined, style).format(amount).replace("-", MINUS);
}
