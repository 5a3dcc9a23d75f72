/** Since when the figures of a card are known, and what is wrong with its account. */

import { element } from "./elements.js";
import { formatMoment } from "./moment.js";

const SETTLED_MS = 60_000;

const UNTOLD = {
  code: "credential_inactive",
  detail: "Corral has nothing to tell of this account at the moment. It may have been switched off or deleted.",
};

// For each card: when its figures were last known to be right, what this stream has told of it, its troubles by code.
const states = new WeakMap();

/** Alpaca answered, and whatever was wrong is over. */
export function answered(card, lastUpdated) {
  const state = stateOf(card);
  state.troubles.clear();
  Object.assign(state, { isTold: true, isSettled: false });
  state.asOf = state.rightAt = new Date(lastUpdated);
  draw(card);
}

/** The stream has told all that is new: what it told of before is still so. Of what is watched it tells in time. */
export function confirm(card, now) {
  const state = stateOf(card);
  if (state.troubles.size) return;
  if (!state.isTold) {
    state.beats += 1;
    if (state.beats > 2) troubled(card, UNTOLD);
    return;
  }
  state.isSettled = now - state.asOf > SETTLED_MS;
  state.rightAt = now;
  writeAsOf(card, state);
}

/** The stream begins anew, or something was missed: nothing is confirmed until it tells of it again. */
export function doubt(card) {
  Object.assign(stateOf(card), { isTold: false, beats: 0 });
  loseTouch(card);
}

/** The stream is lost. It may go on where it was. */
export function loseTouch(card) {
  const state = stateOf(card);
  state.isSettled = false;
  writeAsOf(card, state);
}

export function troubled(card, { code, detail, resolved }) {
  const state = stateOf(card);
  const { troubles } = state;
  if (state.isFromPage) troubles.clear();
  state.isFromPage = false;
  if (resolved) troubles.delete(code);
  else troubles.set(code, detail);
  loseTouch(card);
  draw(card);
}

export function isStale(card) {
  return stateOf(card).troubles.size > 0;
}

function stateOf(card) {
  if (!states.has(card)) {
    const told = card.querySelector("[data-as-of] time");
    const asOf = told && new Date(told.dateTime);
    const trouble = card.querySelector("[data-trouble] [data-code]");
    const troubles = new Map(trouble && [[trouble.dataset.code, trouble.querySelector("p").textContent]]);
    states.set(card, { asOf, rightAt: asOf, isTold: false, isSettled: false, beats: 0, troubles, isFromPage: true });
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
  if (code === "credential_refused") return onward(`/keys/${card.dataset.account}/replace`, "Replace the keys");
  return code === "credential_inactive" ? onward("/", "Show the accounts anew") : null;
}

function onward(href, text) {
  return element("p", { class: "onward" }, element("a", { href }, text));
}

function writeAsOf(card, { asOf, isSettled }) {
  const place = card.querySelector("[data-as-of]");
  if (asOf) place.replaceChildren(isSettled ? "Unchanged since " : "As of ", time(asOf));
  else place.textContent = isStale(card) ? "No figures just now" : "Asking Alpaca…";
}

function time(moment) {
  const made = element("time");
  formatMoment(made, moment.toISOString());
  return made;
}
