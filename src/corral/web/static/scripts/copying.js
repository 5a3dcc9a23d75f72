/** What is copied from a page with hidden amounts has the real ones, and the page says so. */

import { HIDES_AMOUNTS } from "./display.js";
import { element } from "./elements.js";
import { withoutMasks } from "./figures.js";

const NOTICE_MS = 5000;

export function copyRealAmounts() {
  if (HIDES_AMOUNTS) document.addEventListener("copy", copy);
}

function copy(event) {
  const selection = getSelection();
  const figures = [...document.querySelectorAll("data[class]")].filter((node) => selection.containsNode(node, true));
  if (selection.isCollapsed || !figures.some((node) => node.querySelector(".mask"))) return;
  event.clipboardData.setData("text/plain", withoutMasks(figures, () => selection.toString()));
  event.preventDefault();
  const notice = element("p", { class: "toast", role: "status" }, "Copied with real amounts.");
  document.body.append(notice);
  setTimeout(() => notice.remove(), NOTICE_MS);
}
