/** The sparklines on the cards: the server draws them, and one request updates all of them. */

import { read } from "./api.js";

const RETRY_MS = 3000;
const MAX_AGE_MS = 200_000; // a little longer than the server caches a sparkline

/** `cards` by account id. Returns a function to call when an account has changed. */
export function keepSparklines(cards) {
  let requestedAt = Date.now();
  let isLoading = false;
  const isMissing = (card) => card.querySelector("[data-sparkline]").dataset.sparkline === "";

  const load = async () => {
    if (isLoading || document.hidden) return;
    isLoading = true;
    requestedAt = Date.now();
    const sparklines = await read("/lines").catch(() => ({}));
    isLoading = false;
    for (const [id, sparkline] of Object.entries(sparklines)) if (cards.has(id)) draw(cards.get(id), sparkline);
    // The response leaves out accounts for which Alpaca has not responded yet.
    return Object.keys(sparklines).length < cards.size;
  };
  const loadSoon = (attempts) =>
    setTimeout(async () => ((await load()) && attempts > 1 ? loadSoon(attempts - 1) : null), RETRY_MS);

  if ([...cards.values()].some(isMissing)) loadSoon(5);
  return () => Date.now() - requestedAt > MAX_AGE_MS && load();
}

/** Without a new sparkline the previous one stays: the card shows when its data is old. */
function draw(card, sparkline) {
  if (!sparkline) return;
  const node = card.querySelector("[data-sparkline]");
  node.dataset.sparkline = "drawn";
  const [close, line] = node.querySelectorAll("path");
  close.setAttribute("d", sparkline.close === null ? "" : `M0 ${sparkline.close}h999`);
  line.setAttribute("d", sparkline.path);
}
