/** Keeps the page of one order up to date: after an event of it, the page is loaded again, and its new parts are shown. */

import "./engine.js";
import { writeFigure } from "./figures.js";

const page = document.querySelector("[data-account]");
const order = page.querySelector("[data-live-order]");
const DELAY_MS = 1200; // an answer of Alpaca is shared for a second
let timer = 0;
let isOutdated = false; // an event came while a refresh was due

if (order) {
  const ids = new Set([order.dataset.liveOrder, ...order.dataset.legs.split(" ")]);
  page.addEventListener("order", ({ detail }) => ids.has(detail.id) && schedule());
}

function schedule() {
  isOutdated = timer !== 0;
  timer ||= setTimeout(refresh, DELAY_MS);
}

/** A document that XMLHttpRequest parses runs no scripts. */
function refresh() {
  timer = 0;
  if (isOutdated) schedule();
  const request = new XMLHttpRequest();
  request.open("GET", `${location.pathname}?wait=true`);
  request.responseType = "document";
  request.addEventListener("load", () => request.status === 200 && request.response && show(request.response));
  request.send();
}

function show(loaded) {
  for (const part of page.querySelectorAll("[data-live]")) {
    const current = loaded.querySelector(`[data-live=${part.dataset.live}]`);
    if (current) part.replaceChildren(...current.childNodes);
    for (const node of part.querySelectorAll("data[class]")) writeFigure(node);
  }
}
