import "./engine.js";
import { receiveCode } from "./one_time_code.js";

const byLink = document.getElementById("by-link");
const withoutLink = document.getElementById("without-link");

// Only on a click, because link previews open the page, too.
receiveCode((code) => {
  byLink.elements.token.value = code;
  showLinkForm(true);
});

document.getElementById("other-ways").addEventListener("click", () => showLinkForm(false));

function showLinkForm(isShown) {
  byLink.hidden = !isShown;
  withoutLink.hidden = isShown;
}
