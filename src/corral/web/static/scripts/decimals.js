/** Exact sums of decimal strings, by whole numbers of any size. */

const DECIMAL = /^-?\d+(?:\.\d+)?$/;

export function isDecimal(text) {
  return DECIMAL.test(text);
}

/** `sum(["0.1", "0.2"])` is `"0.3"`, with as many decimals as the amount that has most. */
export function sum(amounts) {
  const places = Math.max(0, ...amounts.map(placesOf));
  return written(amounts.reduce((total, amount) => total + scaled(amount, places), 0n), places);
}

export function difference(amount, subtracted) {
  const places = Math.max(placesOf(amount), placesOf(subtracted));
  return written(scaled(amount, places) - scaled(subtracted, places), places);
}

/** -1, 0 or 1. */
export function signOf(amount) {
  const whole = scaled(amount, placesOf(amount));
  return whole < 0n ? -1 : whole > 0n ? 1 : 0;
}

function placesOf(amount) {
  return amount.split(".")[1]?.length ?? 0;
}

function scaled(amount, places) {
  const [whole, fraction = ""] = amount.split(".");
  return BigInt(whole + fraction.padEnd(places, "0"));
}

function written(whole, places) {
  const digits = String(whole < 0n ? -whole : whole).padStart(places + 1, "0");
  const split = digits.length - places;
  return `${whole < 0n ? "-" : ""}${digits.slice(0, split)}${places ? "." : ""}${digits.slice(split)}`;
}
