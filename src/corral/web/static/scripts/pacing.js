/** When a page is to be loaded again after events: soon, and not for each one of many. */

// Corral shares an answer of Alpaca for so long: what is asked for earlier than this after an event may not have it.
const SHARED_MS = 1000;
const DELAY_MS = SHARED_MS + 200;
const RETRY_MS = 20_000;

/**
 * Returns a function to call when something has changed. `run` is called soon after, not more often than every
 * `pauseMs`, and never twice at a time. It resolves to false if it has failed, and is called again later.
 */
export function paced(run, pauseMs) {
  let timer = 0;
  let isRunning = false;
  let began = -Infinity;
  let changed = -Infinity;

  const schedule = (least) => (timer ||= setTimeout(start, Math.max(least, began + pauseMs - performance.now())));
  const start = async () => {
    timer = 0;
    isRunning = true;
    began = performance.now();
    const isDone = await run();
    isRunning = false;
    if (!isDone) schedule(RETRY_MS);
    else if (changed > began - SHARED_MS) schedule(DELAY_MS);
  };
  return () => {
    changed = performance.now();
    if (!isRunning) schedule(DELAY_MS);
  };
}
