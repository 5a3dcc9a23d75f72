import { call } from "./api.js";
import { onSubmit } from "./forms.js";
import { codeIn, receiveCode } from "./one_time_code.js";

const codeField = document.getElementById("code");
const password = document.getElementById("password");

receiveCode((code) => {
  codeField.value = code;
  document.getElementById("code-field").hidden = true;
  document.getElementById("email").focus();
});

document.getElementById("show-password").addEventListener("change", (event) => {
  password.type = event.target.checked ? "text" : "password";
});

onSubmit(document.getElementById("set-up"), async () => {
  await call("POST", "/api/setup", {
    token: codeIn(codeField.value) ?? codeField.value.trim(),
    email: document.getElementById("email").value,
    password: password.value,
  });
  location.replace("/");
});
