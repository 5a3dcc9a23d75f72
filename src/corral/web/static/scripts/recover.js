import "./engine.js";
import { receiveCode } from "./one_time_code.js";

const codeField = document.getElementById("token");

receiveCode((code) => {
  codeField.value = code;
  codeField.closest(".field").hidden = true;
  document.getElementById("new_password").focus();
});
