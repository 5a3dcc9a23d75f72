/** Exact arithmetic with decimal strings, using BigInt. */

// The format that the server accepts from Alpaca, with an exponent of three digits at most.
const DECIMAL = /^(-?\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$/;

export function isDecimal(text) {
  return DECIMAL.test(text);
}

/** `sum(["0.1", "0.2"])` is `"0.3"`, with as many decimals as the amount that has the most. */
export function sum(amounts) {
  const places = Math.max(0, ...amounts.map(placesOf));
  return format(amounts.reduce((total, amount) => total + scaled(amount, places), 0n), places);
}

export function difference(amount, subtracted) {
  const places = Math.max(placesOf(amount), placesOf(subtracted));
  return format(scaled(amount, places) - scaled(subtracted, places), places);
}

export function product(amount, factor) {
  const [places, more] = [placesOf(amount), placesOf(factor)];
  return format(scaled(amount, places) * scaled(factor, more), places + more);
}

/** `ratio("1", "3", 4)` is `"0.3333"`: rounded half to even to that many places. `whole` is greater than zero. */
export function ratio(part, whole, places) {
  const scale = Math.max(placesOf(part), placesOf(whole));
  const divisor = scaled(whole, scale);
  const dividend = scaled(part, scale) * 10n ** BigInt(places);
  const size = dividend < 0n ? -dividend : dividend;
  const [floor, rest] = [size / divisor, 2n * (size % divisor)];
  const rounded = rest > divisor || (rest === divisor && floor % 2n === 1n) ? floor + 1n : floor;
  return format(dividend < 0n ? -rounded : rounded, places);
}

/** -1, 0 or 1. */
export function signOf(amount) {
  const whole = scaled(amount, placesOf(amount));
  return whole < 0n ? -1 : whole > 0n ? 1 : 0;
}

function placesOf(amount) {
  const [, , fraction = "", exponent = "0"] = DECIMAL.exec(amount);
  return Math.max(0, fraction.length - exponent);
}

function scaled(amount, places) {
  const [, whole, fraction = "", exponent = "0"] = DECIMAL.exec(amount);
  return BigInt(whole + fraction) * 10n ** BigInt(places - fraction.length + +exponent);
}

function format(whole, places) {
  const digits = String(whole < 0n ? -whole : whole).padStart(places + 1, "0");
  const split = digits.length - places;
  return `${whole < 0n ? "-" : ""}${digits.slice(0, split)}${places ? "." : ""}${digits.slice(split)}`;
}
