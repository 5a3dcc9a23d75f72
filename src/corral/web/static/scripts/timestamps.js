/**
 * Formats times in the zone that the reader has chosen. A day has its year only if that is not the current one, and a
 * time names its zone. `view/times.py` has the same rules.
 */

import { TIME_ZONE, ZONE_NAMES } from "./display.js";

const PARTS = new Intl.DateTimeFormat("en-US", {
  timeZone: TIME_ZONE,
  weekday: "short",
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const DAY_PARTS = new Intl.DateTimeFormat("en-US", { timeZone: "UTC", year: "numeric", month: "short", day: "numeric" });

/** Writes a `<time>`, with seconds if it has `data-seconds`. */
export function formatTimestamp(node, iso = node.dateTime) {
  node.dateTime = iso;
  node.title = fullTimestamp(iso);
  node.textContent = timestampText(iso, { hasSeconds: node.dataset.seconds !== undefined });
}

/** `09:30 ET` for today, `Nov 24, 09:30 ET` for another day, and `Nov 24, 2025, 09:30 ET` for another year. */
export function timestampText(iso, { hasSeconds = false, now = new Date() } = {}) {
  const [local, today] = [partsOf(iso), partsOf(now)];
  const isToday = local.year === today.year && dayText(local) === dayText(today);
  const clock = `${clockText(local, hasSeconds)} ${zoneName(local)}`;
  return isToday ? clock : `${dayText(local, today.year)}, ${clock}`;
}

/** `Tue, Nov 24, 2026, 09:30:05 ET (UTC−5)`. */
export function fullTimestamp(iso) {
  const local = partsOf(iso);
  const [zone, offset] = [zoneName(local), offsetName(local.offset)];
  return `${local.weekday}, ${dayText(local)}, ${local.year}, ${clockText(local, true)} ${zone}${zone === offset ? "" : ` (${offset})`}`;
}

/** An intraday point: `Tue, Nov 24, 09:30 ET`. */
export function intradayText(iso, now = new Date()) {
  const local = partsOf(iso);
  return `${local.weekday}, ${dayText(local, partsOf(now).year)}, ${clockText(local, false)} ${zoneName(local)}`;
}

/** A day of the exchange, in every zone the same: `formatDay("2026-11-24")` is `Nov 24` in 2026. */
export function formatDay(day, now = new Date()) {
  return dayText(readParts(DAY_PARTS, new Date(`${day}T00:00:00Z`)), partsOf(now).year);
}

function dayText({ month, day, year }, currentYear = year) {
  return year === currentYear ? `${month} ${day}` : `${month} ${day}, ${year}`;
}

function clockText({ hour, minute, second }, hasSeconds) {
  return hasSeconds ? `${hour}:${minute}:${second}` : `${hour}:${minute}`;
}

function partsOf(time) {
  const date = new Date(time);
  const parts = readParts(PARTS, date);
  return { ...parts, offset: offsetOf(parts, date) };
}

function readParts(format, date) {
  return Object.fromEntries(format.formatToParts(date).map(({ type, value }) => [type, value]));
}

/** From UTC, in minutes. */
function offsetOf({ month, day, year, hour, minute }, date) {
  const local = Date.UTC(year, MONTHS.indexOf(month), day, hour, minute);
  return local / 60_000 - Math.floor(date / 60_000);
}

function zoneName({ offset }) {
  return ZONE_NAMES[offset] ?? offsetName(offset);
}

/** `UTC−5`, `UTC+5:30`. */
function offsetName(offset) {
  if (offset === 0) return "UTC";
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60];
  return `UTC${offset > 0 ? "+" : "−"}${hours}${minutes ? `:${String(minutes).padStart(2, "0")}` : ""}`;
}
