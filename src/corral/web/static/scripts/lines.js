/** The small lines on the cards: drawn by the server, one question for all of them, now and then. */

import { read } from "./api.js";

const SOON_MS = 3000;
const LATER_MS = 200_000; // a little longer than the server keeps a line

/** `cards` by the account's id. Answers a function to be called when an account has moved. */
export function followLines(cards) {
  let askedAt = Date.now();
  let isAsking = false;
  const lacksLine = (card) => card.querySelector("[data-line]").dataset.line === "";

  const ask = async () => {
    if (isAsking || document.hidden) return;
    isAsking = true;
    askedAt = Date.now();
    const found = await read("/lines").catch(() => ({}));
    isAsking = false;
    for (const [id, line] of Object.entries(found)) if (cards.has(id)) draw(cards.get(id), line);
    // It tells of every account but those for which Alpaca has not answered yet.
    return Object.keys(found).length < cards.size;
  };
  const askSoon = (times) => setTimeout(async () => ((await ask()) && times > 1 ? askSoon(times - 1) : null), SOON_MS);

  if ([...cards.values()].some(lacksLine)) askSoon(5);
  return () => Date.now() - askedAt > LATER_MS && ask();
}

/** Without a new line the one before stays: the card says itself when it is old. */
function draw(card, line) {
  if (!line) return;
  const place = card.querySelector("[data-line]");
  place.dataset.line = "drawn";
  place.querySelector("polyline").setAttribute("points", line.points);
  place.querySelector("path").setAttribute("d", line.close === null ? "" : `M0 ${line.close}h999`);
}
