/** The pages over all accounts: shows pending accounts as soon as they are loaded, and what changes while it is open. */

import "./engine.js";
import { EVENTS, watchList } from "./list_changes.js";
import { keepFresh } from "./page_refresh.js";
import { connectStream } from "./stream.js";

const SCROLLED = "corral-scrolled";
const PAUSE_MS = 5000;
// Corral may begin to watch an account some seconds after it has sent the page.
const UNWATCHED_MS = 10_000;

const waitLink = document.querySelector("a[data-wait]");
const list = document.querySelector("[data-live]");

if (waitLink) location.replace(waitLink.href);
else {
  restoreScroll();
  if (list.dataset.accounts) followStream();
}
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-split]");
  if (link) reloadInPlace(event, link);
});

function followStream() {
  const refreshSoon = keepFresh(PAUSE_MS);
  const isChanged = watchList(() => list.dataset);
  let isFirst = true;
  let isUncertain = false; // events may have been missed
  let isKnown = false; // what the stream sends before its first heartbeat is on the page already
  let timer = 0;

  const handle = (name) => (event) => isChanged(name, event) && isKnown && refreshSoon();
  const confirm = (connection) => {
    if (connection !== "connected") return;
    if (isUncertain) refreshSoon();
    isUncertain = false;
    isKnown = true;
  };
  const begin = () => {
    isUncertain = !isFirst;
    isFirst = false;
    clearTimeout(timer);
    timer = setTimeout(refreshSoon, UNWATCHED_MS);
  };
  const names = [...EVENTS[list.dataset.live], "problem", "gap"];
  const handlers = Object.fromEntries(names.map((name) => [name, handle(name)]));
  connectStream(handlers, { onState: confirm, onRestart: begin });
}

/** The rows come from the server; only the place on the page is kept. */
function reloadInPlace(event, link) {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  sessionStorage.setItem(SCROLLED, String(scrollY));
  location.replace(link.href.split("#")[0]);
}

function restoreScroll() {
  const scrolled = sessionStorage.getItem(SCROLLED);
  sessionStorage.removeItem(SCROLLED);
  if (scrolled !== null) scrollTo({ top: scrolled, behavior: "instant" });
}
