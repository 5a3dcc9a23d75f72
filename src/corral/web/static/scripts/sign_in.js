import { call } from "./api.js";
import { onSubmit, take } from "./forms.js";
import { codeIn, receiveCode } from "./one_time_code.js";

const byLink = document.getElementById("by-link");
const withoutLink = document.getElementById("without-link");
const password = document.getElementById("password");
const codeField = document.getElementById("code");
let linkCode = null;

receiveCode((code) => {
  linkCode = code;
  offerLink(true);
});

document.getElementById("other-ways").addEventListener("click", () => offerLink(false));

// Only on a click: whoever opens a link merely to preview it must not use it up.
onSubmit(byLink, () => redeem(linkCode));

onSubmit(document.getElementById("by-code"), () => redeem(codeIn(codeField.value) ?? codeField.value));

onSubmit(document.getElementById("by-password"), async () => {
  await call("POST", "/api/session", { email: document.getElementById("email").value, password: take(password) });
  location.replace("/");
});

async function redeem(code) {
  await call("POST", "/api/session/link", { token: code.trim() });
  location.replace("/");
}

function offerLink(offered) {
  byLink.hidden = !offered;
  withoutLink.hidden = offered;
}
