import { receiveCode } from "./one_time_code.js";

const byLink = document.getElementById("by-link");
const withoutLink = document.getElementById("without-link");

// Only on a click: whoever opens a link merely to preview it must not use it up.
receiveCode((code) => {
  byLink.elements.token.value = code;
  offerLink(true);
});

document.getElementById("other-ways").addEventListener("click", () => offerLink(false));

function offerLink(offered) {
  byLink.hidden = !offered;
  withoutLink.hidden = offered;
}
