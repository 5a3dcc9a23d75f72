/** Keeps the reader's place on the page while rows come, go or change. */

/**
 * Calls `change`, and then scrolls so that the rows in view are where they were, unless the page is at its top. If the
 * focused link is gone, as that of an order which moved to another table, the same link gets the focus.
 */
export function keepPlace(root, change) {
  const focused = document.activeElement;
  const places = scrollY > 0 ? rowsInView(root).map((row) => [row, topOf(row)]) : [];
  change();
  const shifts = places.filter(([row]) => row.isConnected).map(([row, top]) => topOf(row) - top);
  const shift = Math.round(median(shifts));
  if (shift) scrollBy({ top: shift, behavior: "instant" });
  if (focused && !focused.isConnected) sameLink(root, focused)?.focus({ preventScroll: true });
}

/** The usual shift: a row that was sorted elsewhere must not take the reader along. */
export function median(numbers) {
  const sorted = [...numbers].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function rowsInView(root) {
  return [...root.querySelectorAll("tbody tr")].filter((row) => {
    const { top, bottom } = row.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  });
}

function topOf(row) {
  return row.getBoundingClientRect().top;
}

function sameLink(root, link) {
  const href = link.getAttribute("href");
  return href && root.querySelector(`a[href="${CSS.escape(href)}"]`);
}
