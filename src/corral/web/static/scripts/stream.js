/** The event stream of the user's accounts, connected while the page is visible, and whether it is alive. */

import { showConnection } from "./connection_state.js";

const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30_000;
// The server sends a heartbeat every 15 seconds. Without two of them, the connection is lost: browsers do not notice
// that a server or a network is gone, and no event reports it.
const SILENCE_MS = 32_000;
// The server sends these only to pages that handle them, and reads positions often only while a page does.
const SELECTABLE = ["account-data", "position", "order"];
// Timers stop while a laptop sleeps, so the time is compared at short intervals.
const TICK_MS = 1000;

/**
 * `handlers` get the payload of an event by its name (`account-data`, `position`, `order`, `problem`, `gap`): of all
 * accounts, or of the one whose id is `account`.
 * The page's `[data-connection-state]` line shows a lost connection, which is restored without reloading. `onState` gets
 * "connected" with each heartbeat, or "disconnected". When the session has ended, the page goes to the sign-in page.
 * `onRestart` is called before a new stream begins, which sends all accounts again.
 */
export function connectStream(handlers, { account, onState = () => {}, onRestart = () => {} } = {}) {
  const url = addressFor(Object.keys(handlers), account);
  let source = null;
  let timer = 0;
  let delay = FIRST_RETRY_MS;
  let isLost = false;
  let heard = moment(); // when the last event arrived
  let waiting = heard; // the same, or when the connection was last opened

  const confirm = () => {
    delay = FIRST_RETRY_MS;
    isLost = false;
    showConnection(true);
    onState("connected");
  };
  const lose = () => {
    if (!isLost) showConnection(false, new Date(heard.wall));
    isLost = true;
    onState("disconnected");
  };

  const open = () => {
    clearTimeout(timer);
    source?.close();
    onRestart();
    waiting = moment();
    source = new EventSource(url);
    const listen = (name, handle) =>
      source.addEventListener(name, ({ data }) => {
        heard = waiting = moment();
        handle(JSON.parse(data));
      });
    listen("heartbeat", confirm);
    listen("problem", ({ code }) => code === "unauthenticated" && leave());
    for (const [name, handle] of Object.entries(handlers)) listen(name, handle);
    source.addEventListener("error", () => {
      lose();
      // After a response that is no stream, the browser does not reconnect by itself.
      if (source.readyState === EventSource.CLOSED) retry(source);
    });
  };

  const retry = async (failed) => {
    const isOver = await isSignedOut();
    if (source !== failed || document.hidden) return;
    if (isOver) return goToSignIn();
    timer = setTimeout(open, delay);
    delay = Math.min(2 * delay, LONGEST_RETRY_MS);
  };

  /** Reopens a connection that has been silent for too long. */
  const check = () => {
    if (document.hidden || elapsed(waiting) < SILENCE_MS) return;
    lose();
    open();
  };
  /** The network is back: there is no need to wait for the next attempt. */
  const hurry = () => !document.hidden && isLost && elapsed(waiting) > FIRST_RETRY_MS && open();

  // Browsers limit the connections to a host, so hidden pages have none.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      source?.close();
      return;
    }
    if (elapsed(heard) >= SILENCE_MS) lose();
    open();
  });
  for (const name of ["focus", "pageshow"]) addEventListener(name, check);
  document.addEventListener("resume", check);
  addEventListener("online", hurry);
  // A server on this computer is reachable without a network, so only a new connection can tell.
  addEventListener("offline", () => !document.hidden && open());
  setInterval(check, TICK_MS);
  if (!document.hidden) open(); // a page may open in a tab that nobody has looked at yet
}

/** Commas stay as they are, because they separate the names. */
function addressFor(names, account) {
  const events = SELECTABLE.filter((name) => names.includes(name)).join(",");
  return `/api/stream?events=${events}${account ? `&credential_ids=${account}` : ""}`;
}

/** By two clocks: one may stand still while the computer sleeps, and the other may be set back. */
function moment() {
  return { wall: Date.now(), steady: performance.now() };
}

function elapsed({ wall, steady }) {
  return Math.max(Date.now() - wall, performance.now() - steady);
}

/** The session has ended. If another one has begun in this browser, the page is reloaded for it. */
async function leave() {
  if (await isSignedOut()) goToSignIn();
  else location.reload();
}

async function isSignedOut() {
  return fetch("/api/me", { cache: "no-store" }).then(
    ({ status }) => status === 401,
    () => false,
  );
}

function goToSignIn() {
  location.replace(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
}
