/** Forms with `data-plain`, which the browser submits because their response is a page. */

const DOUBLE_CLICK_MS = 1000;

/** Submits only once on a double click: the second response would replace the first one. */
export function ignoreDoubleSubmit(form) {
  let last = -Infinity;
  form.addEventListener("submit", (event) => {
    if (event.timeStamp - last < DOUBLE_CLICK_MS) event.preventDefault();
    else last = event.timeStamp;
  });
}
