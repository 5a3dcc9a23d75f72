/** Shows what the server has for this page now, in its parts with `data-live`, without loading the page again. */

import { paced } from "./pacing.js";
import { patch } from "./patching.js";
import { keepPlace } from "./reading_place.js";

const LONGEST_MS = 30_000;

/** Returns a function to call when something has changed. The page is asked for at most once in `pauseMs`. */
export function keepFresh(pauseMs) {
  const refreshSoon = paced(refresh, pauseMs);
  document.addEventListener("visibilitychange", refreshSoon); // a hidden page gets no events
  return refreshSoon;
}

/** Returns false if it failed. */
async function refresh() {
  if (document.hidden) return true;
  const loaded = await load();
  if (loaded) keepPlace(document.body, () => show(loaded));
  return loaded !== null;
}

/** Returns this page as it is now, with all that Alpaca answers, or null. XMLHttpRequest runs no scripts of it. */
function load() {
  const url = new URL(location);
  url.searchParams.set("wait", "true");
  const request = new XMLHttpRequest();
  request.open("GET", url);
  Object.assign(request, { responseType: "document", timeout: LONGEST_MS });
  return new Promise((resolve) => {
    request.addEventListener("loadend", () => resolve(request.status === 200 ? request.response : null));
    request.send();
  });
}

function show(loaded) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const wanted = loaded.querySelector(`[data-live=${part.dataset.live}]`);
    if (wanted) patch(part, wanted);
  }
}
