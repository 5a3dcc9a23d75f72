/** Money is a decimal string and stays one; only what is shown is rounded, to the hundredth, half to even. */

import { difference, isDecimal, signOf } from "./decimals.js";

const MINUS = "−"; // as wide as a plus, and easily read
const ROUNDING = { minimumFractionDigits: 2, maximumFractionDigits: 2, roundingMode: "halfEven" };

/** `formatMoney("-23140.2", "USD")` is `−$23,140.20` in English; what is no plain decimal is shown as it came. */
export function formatMoney(amount, currency, signDisplay = "negative") {
  if (!isDecimal(amount)) return `${amount} ${currency}`;
  // Given a string, it reads every digit of it (ECMA-402, ToIntlMathematicalValue).
  return readable(styleOf(currency, signDisplay).format(amount));
}

/** What came to `before` or went, with its sign, and the share of it. */
export function formatChange(equity, before, currency) {
  const change = difference(equity, before);
  const written = formatMoney(change, currency, "exceptZero");
  if (signOf(before) <= 0) return written;
  const share = new Intl.NumberFormat(undefined, { style: "percent", ...ROUNDING, signDisplay: "exceptZero" });
  return `${written} (${readable(share.format(shareOf(change, before)))})`;
}

// A share is no money: it is shown with two digits and goes nowhere else.
function shareOf(change, before) {
  return Number(change) / Number(before);
}

function styleOf(currency, signDisplay) {
  try {
    return new Intl.NumberFormat(undefined, { style: "currency", currency, signDisplay, ...ROUNDING });
  } catch {
    return { format: (amount) => `${new Intl.NumberFormat(undefined, { signDisplay, ...ROUNDING }).format(amount)} ${currency}` };
  }
}

function readable(text) {
  return text.replace("-", MINUS);
}
