/** Forms that the browser sends, with `data-plain`: what answers them is a page. */

const DOUBLE_CLICK_MS = 1000;

/** Of a double click only the first is sent: the answer to the second would take the place of the first one's. */
export function sendByBrowser(form) {
  let last = -Infinity;
  form.addEventListener("submit", (event) => {
    if (event.timeStamp - last < DOUBLE_CLICK_MS) event.preventDefault();
    else last = event.timeStamp;
  });
}
