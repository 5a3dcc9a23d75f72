/** The pages over all accounts: shows pending accounts as soon as they are loaded, and splits a position in place. */

import "./engine.js";

const waitLink = document.querySelector("a[data-wait]");
const SCROLLED = "corral-scrolled";

if (waitLink) location.replace(waitLink.href);
else restoreScroll();

for (const link of document.querySelectorAll("a[data-split]")) link.addEventListener("click", reloadInPlace);

/** The rows come from the server; only the place on the page is kept. */
function reloadInPlace(event) {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  sessionStorage.setItem(SCROLLED, String(scrollY));
  location.replace(event.currentTarget.href.split("#")[0]);
}

function restoreScroll() {
  const scrolled = sessionStorage.getItem(SCROLLED);
  sessionStorage.removeItem(SCROLLED);
  if (scrolled !== null) scrollTo({ top: scrolled, behavior: "instant" });
}
