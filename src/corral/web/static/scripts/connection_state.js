/** The page's line about a lost connection. Until it is back, styles show all figures as outdated. */

import { element } from "./elements.js";
import { formatTimestamp } from "./timestamps.js";

// Figures are grey at once, but a connection that comes back at once needs no announcement.
const PATIENCE_MS = 400;

let timer = 0;

/** `since` is when the page last heard from the server. */
export function showConnection(isConnected, since) {
  clearTimeout(timer);
  document.documentElement.toggleAttribute("data-disconnected", !isConnected);
  const line = document.querySelector("[data-connection-state]");
  if (!line) return;
  if (isConnected) line.hidden = true;
  else timer = setTimeout(() => write(line, since), PATIENCE_MS);
}

function write(line, since) {
  const time = element("time");
  formatTimestamp(time, since.toISOString());
  line.replaceChildren("Disconnected at ", time, ". Reconnecting…");
  line.hidden = false;
}
