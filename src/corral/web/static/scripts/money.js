/** Money is a decimal string and stays one: no arithmetic, no rounding, every digit is shown. */

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/;
const SYMBOLS = { USD: "$" };

/** `formatMoney("-23140.2", "USD")` is `−$23,140.20`; what is no plain decimal is shown as it came. */
export function formatMoney(amount, currency) {
  const parts = DECIMAL.exec(amount);
  if (parts === null) return `${amount} ${currency}`;
  const [, minus, whole, fraction = ""] = parts;
  const digits = `${groupThousands(whole)}.${fraction.padEnd(2, "0")}`;
  const sign = minus && "−";
  const symbol = SYMBOLS[currency];
  return symbol ? `${sign}${symbol}${digits}` : `${sign}${digits} ${currency}`;
}

function groupThousands(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, ",");
}
