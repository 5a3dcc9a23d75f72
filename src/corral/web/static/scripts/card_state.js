/** How old the figures of a card or row are, and the problems of its account. */

import { element } from "./elements.js";
import { isOutage } from "./outages.js";
import { formatTimestamp } from "./timestamps.js";

const UNCHANGED_AFTER_MS = 60_000;

// Corral repeats these requests by itself.
const RETRIED = new Set(["upstream_failed", "upstream_unavailable", "upstream_timeout", "account_rate_limited"]);

const NOT_ON_STREAM = {
  code: "credential_inactive",
  title: "Not updated",
  detail: "No updates for this account. It may have been paused or removed.",
};

// For each card: `asOf` is when the figures last changed, `confirmedAt` when they were last known to be current,
// `isOnStream` whether this connection has sent the account, and `problems` are by code. `isExplained` is whether the
// page has one line for the outage of several accounts.
const states = new WeakMap();

/** Alpaca has answered, so all problems are over. */
export function markAnswered(card, lastUpdated) {
  const state = stateOf(card);
  state.problems.clear();
  Object.assign(state, { isOnStream: true, isUnchanged: false });
  state.asOf = state.confirmedAt = new Date(lastUpdated);
  draw(card);
}

/** After a heartbeat: the stream sends every change in time, so what it sent before is still current. */
export function confirmCard(card, now) {
  const state = stateOf(card);
  if (state.problems.size) return;
  if (!state.isOnStream) {
    state.heartbeats += 1;
    if (state.heartbeats > 2) showCardProblem(card, NOT_ON_STREAM);
    return;
  }
  state.isUnchanged = now - state.asOf > UNCHANGED_AFTER_MS;
  state.confirmedAt = now;
  writeAsOf(card, state);
}

/** The stream restarts or has missed events: nothing is confirmed until it sends the account again. */
export function markUncertain(card) {
  Object.assign(stateOf(card), { isOnStream: false, heartbeats: 0 });
  suspendCard(card);
}

/** The connection is lost. The stream may resume where it was. */
export function suspendCard(card) {
  const state = stateOf(card);
  state.isUnchanged = false;
  writeAsOf(card, state);
}

export function showCardProblem(card, { code, title, detail, resolved }) {
  const state = stateOf(card);
  const { problems } = state;
  if (state.isFromPage) problems.clear();
  state.isFromPage = false;
  if (resolved) problems.delete(code);
  else problems.set(code, { title, detail: RETRIED.has(code) ? `${detail} Corral keeps trying.` : detail });
  suspendCard(card);
  draw(card);
}

/** Whether the account has answered or failed: its card does not wait for anything. */
export function isSettled(card) {
  const { asOf, problems } = stateOf(card);
  return Boolean(asOf) || problems.size > 0;
}

export function isStale(card) {
  return stateOf(card).problems.size > 0;
}

export function problemCodes(card) {
  return [...stateOf(card).problems.keys()];
}

/** With `isExplained`, the page has one line for the outage of several accounts, so the card does not repeat it. */
export function markExplained(card, isExplained) {
  const state = stateOf(card);
  if (state.isExplained === isExplained) return;
  state.isExplained = isExplained;
  draw(card);
}

function stateOf(card) {
  if (!states.has(card)) {
    const time = card.querySelector("[data-as-of] time");
    const asOf = time && new Date(time.dateTime);
    const notice = card.querySelector("[data-problems] [data-code]");
    const text = notice && (notice.querySelector("p") ?? notice).textContent;
    const problems = new Map(notice && [[notice.dataset.code, { title: text, detail: text }]]);
    const initial = { asOf, confirmedAt: asOf, isOnStream: false, isUnchanged: false, heartbeats: 0, problems };
    states.set(card, { ...initial, isFromPage: true, isExplained: Boolean(notice?.hidden) });
  }
  return states.get(card);
}

function draw(card) {
  const state = stateOf(card);
  card.classList.toggle("stale", isStale(card));
  const figures = card.querySelector(".figures");
  if (figures) {
    figures.hidden = !state.asOf && isStale(card);
    figures.classList.toggle("loading", !state.asOf);
  }
  card.querySelector("[data-problems]").replaceChildren(...(figures ? notices : titles)(card, state));
  writeAsOf(card, state);
}

/** All that a row has room for. */
function titles(_, state) {
  return shownProblems(state).map(([, { title }]) => `${title}. `);
}

function shownProblems({ problems, isExplained }) {
  return [...problems].filter(([code]) => !(isExplained && isOutage(code)));
}

function notices(card, state) {
  const { confirmedAt, problems } = state;
  if (!problems.size) return [];
  const since = confirmedAt && element("p", { class: "outdated-since" }, "No update since ", time(confirmedAt), ".");
  const shown = shownProblems(state);
  if (!shown.length) return since ? [since] : [];
  const details = shown.flatMap(([code, { detail }]) => [element("p", {}, detail), nextStep(card, code)]);
  return [element("div", { class: "notice problem" }, since, details)];
}

function nextStep(card, code) {
  if (code === "credential_refused") return linkTo(`/keys/${card.dataset.account}/replace`, "Replace API key");
  return code === "credential_inactive" ? linkTo("/", "Refresh") : null;
}

function linkTo(href, text) {
  return element("p", { class: "next-step" }, element("a", { href }, text));
}

function writeAsOf(card, { asOf, confirmedAt, isUnchanged }) {
  const node = card.querySelector("[data-as-of]");
  if (asOf && !card.querySelector(".figures")) {
    node.replaceChildren(...(isStale(card) ? ["No update since ", time(confirmedAt)] : [time(asOf)]));
  } else if (asOf) node.replaceChildren(isUnchanged ? "Unchanged since " : "As of ", time(asOf));
  else node.textContent = isStale(card) ? "No data" : "Loading…";
}

function time(date) {
  const node = element("time");
  formatTimestamp(node, date.toISOString());
  return node;
}
