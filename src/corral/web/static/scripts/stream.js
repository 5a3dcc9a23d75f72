/** The stream of everything that happens at the visitor's accounts, for as long as the page is seen. */

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;

/**
 * `handlers` by the event's name (`account-data`, `position`, `order`, `problem`, `gap`) are told its data;
 * `onState` is told "live", "lost", and leads nowhere when nobody is signed in any more: the page then goes;
 * `onAnew` is called before the stream begins anew, from how all accounts stand.
 */
export function followStream(handlers, onState, onAnew = () => {}) {
  let source = null;
  let timer = 0;
  let wait = FIRST_WAIT_MS;

  const open = () => {
    clearTimeout(timer);
    source?.close();
    onAnew();
    source = new EventSource("/api/stream");
    source.addEventListener("heartbeat", () => {
      wait = FIRST_WAIT_MS;
      onState("live");
    });
    source.addEventListener("problem", ({ data }) => JSON.parse(data).code === "unauthenticated" && leave());
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, ({ data }) => handle(JSON.parse(data)));
    }
    source.addEventListener("error", () => {
      onState("lost");
      // An answer that is no stream ends it for the browser: then it is asked for anew from here.
      if (source.readyState === EventSource.CLOSED) again();
    });
  };

  const again = async () => {
    if (await isSignedOut()) return goToSignIn();
    timer = setTimeout(open, wait);
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  };

  // A browser has few connections to one place, and a page that nobody sees needs none.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      source?.close();
    } else open();
  });
  open();
}

/** The session has ended. Where somebody came in meanwhile, as whoever, the page is theirs from here on. */
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
