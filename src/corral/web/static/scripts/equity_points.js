/** The points of an equity chart and the labels of its time axis. Amounts stay decimal strings; nothing here draws. */

import { difference, ratio, signOf, sum } from "./decimals.js";

const EXCHANGE_ZONE = "America/New_York";
const OPENS = "09:30";
const CLOSES = "16:00";
const MINUTE_MS = 60_000;
const STEP_MS = { "1Min": MINUTE_MS, "5Min": 5 * MINUTE_MS, "15Min": 15 * MINUTE_MS, "1H": 60 * MINUTE_MS };
const DAY_MS = 1440 * MINUTE_MS;
const CUT_PX = 28; // a label closer to the left edge would be cut
const CLOCK = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" };

/**
 * The points of an account's history, or of a curve over several accounts, where `names` has those of the accounts by
 * id. Leaves out points without a value, and zeros from before the account was funded.
 */
export function pointsOf({ items, points = items, base_value: baseValue }, names = {}) {
  const known = points.filter(({ equity }) => equity !== null);
  const first = known.findIndex(({ equity }) => signOf(equity) !== 0);
  const funded = first < 0 ? [] : known.slice(first);
  return funded.map((point) => ({
    ...point,
    profit_loss_pct: point.profit_loss_pct ?? factorOf(point.profit_loss, baseValue),
    marker: markerOf(point.joined ?? [], names),
  }));
}

/** Profit as a factor of the base value; null if one is unknown or the base value is not positive. */
function factorOf(profit, baseValue) {
  const isKnown = profit !== null && baseValue !== null && signOf(baseValue) > 0;
  return isKnown ? ratio(profit, baseValue, 6) : null;
}

/** What is said at a point where accounts join the curve. */
function markerOf(joined, names) {
  const known = joined.map(({ credential_id: id }) => names[id]).filter(Boolean);
  if (known.length < joined.length) return `${joined.length} account${joined.length === 1 ? "" : "s"} joined`;
  return known.length ? `${known.join(", ")} joined` : "";
}

/**
 * The points with the current equity as the last one: it replaces the point of the same time window, or follows it.
 * The profit changes by exactly as much as the equity. `view/equity.py` does the same for pages without JavaScript.
 */
export function withCurrentEquity(points, { equity, at }, timeframe, baseValue) {
  const last = points.at(-1);
  if (!last) return points;
  const change = difference(equity, last.equity);
  const profit = last.profit_loss === null ? null : sum([last.profit_loss, change]);
  const current = {
    ...last,
    equity,
    profit_loss: profit,
    profit_loss_pct: factorOf(profit, baseValue) ?? last.profit_loss_pct,
    current: at,
  };
  if (windowOf(at, timeframe) <= windowOf(last.at, timeframe)) return [...points.slice(0, -1), current];
  return [...points, { ...current, at, marker: "" }];
}

/** The trading day of a daily point, which Alpaca dates at a time in the evening or at midnight: `2026-11-24`. */
export function exchangeDay({ at }) {
  return EXCHANGE_CLOCK(at).slice(0, 10);
}

/** Whether a point of an intraday chart is outside of 9:30 to 16:00 in New York. */
export function isExtended({ at }) {
  const clock = EXCHANGE_CLOCK(at).slice(11);
  return clock < OPENS || clock > CLOSES;
}

/**
 * The labels of the time axis as `{ index, text }`: the first points of hours, days, months or years, whichever fit
 * into `width` pixels. Times are in `zone`; days are those of the exchange.
 */
export function timeLabels(points, { width, isIntraday, zone }) {
  const timeZone = isIntraday ? zone : EXCHANGE_ZONE;
  const clock = clockIn(timeZone);
  const clocks = points.map(({ at }) => clock(at));
  const gap = width / Math.max(1, points.length - 1);
  const candidates = (isIntraday ? INTRADAY_UNITS : DAILY_UNITS).map(({ key, px, format }) => {
    const all = startsOf(clocks.map(key)).filter((index) => index * gap >= CUT_PX);
    return { all, format, kept: apart(all, px / gap) };
  });
  const fits = ({ all, kept }) => all.length === kept.length;
  const first = candidates.findIndex(fits);
  const { kept, format } = candidates[first]?.kept.length > 1 ? candidates[first] : candidates.at(Math.max(0, first) - 1);
  const text = new Intl.DateTimeFormat("en-US", { ...format, timeZone });
  return kept.map((index) => ({ index, text: text.format(new Date(points[index].at)) }));
}

// `px` is the width of a label with the space around it.
const TIME = { px: 56, format: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } };
const DAY = { px: 60, format: { month: "short", day: "numeric" } };
const MONTH = { px: 76, format: { month: "short", year: "numeric" } };
const YEAR = { px: 56, format: { year: "numeric" } };
const INTRADAY_UNITS = [
  { ...TIME, key: hoursOf(1) },
  { ...TIME, key: hoursOf(2) },
  { ...TIME, key: hoursOf(4) },
  { ...DAY, key: (clock) => clock.slice(0, 10) },
];
const DAILY_UNITS = [
  { ...DAY, key: (clock) => clock.slice(0, 10) },
  { ...DAY, key: weekOf },
  { ...MONTH, key: (clock) => clock.slice(0, 7) },
  { ...MONTH, key: monthsOf(3) },
  { ...YEAR, key: (clock) => clock.slice(0, 4) },
];

function hoursOf(hours) {
  return (clock) => clock.slice(0, 11) + Math.floor(clock.slice(11, 13) / hours);
}

function monthsOf(months) {
  return (clock) => clock.slice(0, 5) + Math.floor((clock.slice(5, 7) - 1) / months);
}

/** Weeks begin on Monday; 1970 began on a Thursday. */
function weekOf(clock) {
  return String(Math.floor((Date.parse(clock.slice(0, 10)) / DAY_MS + 3) / 7));
}

function startsOf(keys) {
  return keys.flatMap((key, index) => (key === keys[index - 1] ? [] : [index]));
}

/** Leaves out indices that are less than `distance` after the one before. */
function apart(indices, distance) {
  let free = 0;
  return indices.filter((index) => index >= free && (free = index + distance));
}

function windowOf(at, timeframe) {
  const step = STEP_MS[timeframe];
  return step ? Math.floor(Date.parse(at) / step) : exchangeDay({ at });
}

/** Returns a function that writes a time as `2026-11-24 09:30` in that zone. */
function clockIn(timeZone) {
  const format = new Intl.DateTimeFormat("sv-SE", { ...CLOCK, timeZone });
  return (at) => format.format(new Date(at));
}

const EXCHANGE_CLOCK = clockIn(EXCHANGE_ZONE);
