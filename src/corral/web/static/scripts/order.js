/** Keeps the page of one order up to date: after an event of it, the server is asked for its new parts. */

import "./engine.js";
import { keepFresh } from "./page_refresh.js";

const page = document.querySelector("[data-account]");
const order = page.querySelector("[data-live-order]");
const PAUSE_MS = 1200;

if (order) {
  const ids = new Set([order.dataset.liveOrder, ...order.dataset.legs.split(" ")]);
  const refreshSoon = keepFresh(PAUSE_MS);
  page.addEventListener("order", ({ detail }) => ids.has(detail.id) && refreshSoon());
}
