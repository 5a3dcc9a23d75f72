/** Whether the market is open: asked again when it opens or closes, and once in a while. */

import { read } from "./api.js";

const LONGEST_MS = 15 * 60_000;
const LATER_MS = 35_000; // longer than the server caches it

export function keepMarketState() {
  const line = document.querySelector("[data-market]");
  const update = async () => {
    const state = document.hidden ? null : await read("/market").catch(() => null);
    if (state) {
      line.textContent = state.text;
      line.classList.toggle("open", state.is_open);
      line.dataset.changesIn = state.changes_in;
    }
    later();
  };
  const later = () => setTimeout(update, Math.min((line.dataset.changesIn ?? 0) * 1000 + LATER_MS, LONGEST_MS));
  later();
}
