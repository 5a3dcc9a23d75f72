/** The list of accounts in the header of an account: filtered while typing, and reached by keys. */

import "./engine.js";
import { searchAccounts } from "./account_search.js";
import { listenForKeys } from "./shortcuts.js";

const switcher = document.querySelector("details.switcher");

if (switcher) {
  const field = switcher.querySelector("[data-search]");
  const summary = switcher.querySelector("summary");
  searchAccounts(field, switcher);
  listenForKeys(() => {
    switcher.open = true;
    return field;
  });
  switcher.addEventListener("toggle", () => switcher.open && field.focus());
  switcher.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && switcher.open && !field.value) {
      switcher.open = false;
      summary.focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      step(event);
    }
  });
  document.addEventListener("click", ({ target }) => {
    if (!switcher.contains(target)) switcher.open = false;
  });
}

function step(event) {
  const stops = [...switcher.querySelectorAll("[data-search], [data-entry]:not([hidden]) a")];
  const next = stops[stops.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1)];
  if (!next) return;
  event.preventDefault();
  next.focus();
}
