/** The event stream of all the user's accounts, connected while the page is visible. */

const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30_000;

/**
 * `handlers` get the payload of an event by its name (`account-data`, `position`, `order`, `problem`, `gap`).
 * `onState` gets "connected" or "disconnected". When the session has ended, the page goes to the sign-in page instead.
 * `onRestart` is called before a new stream begins, which sends all accounts again.
 */
export function connectStream(handlers, onState, onRestart = () => {}) {
  let source = null;
  let timer = 0;
  let delay = FIRST_RETRY_MS;

  const open = () => {
    clearTimeout(timer);
    source?.close();
    onRestart();
    source = new EventSource("/api/stream");
    source.addEventListener("heartbeat", () => {
      delay = FIRST_RETRY_MS;
      onState("connected");
    });
    source.addEventListener("problem", ({ data }) => JSON.parse(data).code === "unauthenticated" && leave());
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, ({ data }) => handle(JSON.parse(data)));
    }
    source.addEventListener("error", () => {
      onState("disconnected");
      // After a response that is no stream, the browser does not reconnect by itself.
      if (source.readyState === EventSource.CLOSED) retry();
    });
  };

  const retry = async () => {
    if (await isSignedOut()) return goToSignIn();
    timer = setTimeout(open, delay);
    delay = Math.min(2 * delay, LONGEST_RETRY_MS);
  };

  // Browsers limit the connections to a host, so hidden pages have none.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      source?.close();
    } else open();
  });
  open();
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
