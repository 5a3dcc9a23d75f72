/** Since when the figures of a card are known, and what is wrong with its account. */

import { element } from "./elements.js";
import { formatMoment } from "./moment.js";

const SETTLED_MS = 60_000;

// For each card: when its figures were last known to be right, whether this stream has told of it, its troubles by code.
const states = new WeakMap();

/** Alpaca answered, and whatever was wrong is over. */
export function answered(card, lastUpdated) {
  const state = stateOf(card);
  state.troubles.clear();
  state.isTold = true;
  state.asOf = state.rightAt = new Date(lastUpdated);
  draw(card);
}

/** The stream has told all that is new: what it told of before is still so. */
export function confirm(card, now) {
  const state = stateOf(card);
  if (!state.isTold || state.troubles.size) return;
  state.rightAt = now;
  writeAsOf(card, state);
}

/** Something may have been missed, so nothing is confirmed until the stream tells of it again. */
export function doubt(card) {
  const state = stateOf(card);
  state.isTold = false;
  writeAsOf(card, state);
}

export function troubled(card, { code, detail, resolved }) {
  const { troubles } = stateOf(card);
  if (resolved) troubles.delete(code);
  else troubles.set(code, detail);
  draw(card);
}

export function isStale(card) {
  return stateOf(card).troubles.size > 0;
}

function stateOf(card) {
  if (!states.has(card)) {
    const told = card.querySelector("[data-as-of] time");
    const asOf = told && new Date(told.dateTime);
    states.set(card, { asOf, rightAt: asOf, isTold: false, troubles: new Map() });
  }
  return states.get(card);
}

function draw(card) {
  const state = stateOf(card);
  const figures = card.querySelector(".figures");
  card.classList.toggle("stale", isStale(card));
  figures.hidden = !state.asOf && isStale(card);
  figures.classList.toggle("waiting", !state.asOf);
  card.querySelector("[data-trouble]").replaceChildren(...notices(card, state));
  writeAsOf(card, state);
}

function notices(card, { rightAt, troubles }) {
  if (!troubles.size) return [];
  const since = rightAt && element("p", { class: "since" }, "Stale since ", time(rightAt));
  const told = [...troubles].flatMap(([code, detail]) => [element("p", {}, detail), wayOut(card, code)]);
  return [element("div", { class: "notice problem" }, since, told)];
}

function wayOut(card, code) {
  if (code === "credential_refused") {
    return element("p", {}, element("a", { href: `/keys/${card.dataset.account}/replace` }, "Replace the keys"));
  }
  return code === "credential_inactive" ? element("p", {}, element("a", { href: "/" }, "Show the accounts anew")) : null;
}

function writeAsOf(card, { asOf, rightAt, isTold }) {
  const place = card.querySelector("[data-as-of]");
  if (!asOf) return place.replaceChildren(isStale(card) ? "No figures just now" : "Asking Alpaca…");
  const isSettled = isTold && !isStale(card) && rightAt - asOf > SETTLED_MS;
  place.replaceChildren(isSettled ? "Unchanged since " : "As of ", time(asOf));
}

function time(moment) {
  const made = element("time");
  formatMoment(made, moment.toISOString());
  return made;
}
