import { call } from "./api.js";
import { badge } from "./badge.js";
import { element } from "./elements.js";
import { onSubmit, take } from "./forms.js";

const dialog = document.getElementById("add-keys");
const form = dialog.querySelector("form");
const found = document.getElementById("found");

/** Wires up the dialog; `onStored` is told the new credential. */
export function offerAddKeys(onStored) {
  for (const opener of document.querySelectorAll(".js-add-keys")) opener.addEventListener("click", open);
  for (const closer of dialog.querySelectorAll(".js-close")) closer.addEventListener("click", () => dialog.close());
  document.getElementById("add-another").addEventListener("click", showForm);
  dialog.addEventListener("close", forget);
  onSubmit(form, async () => {
    const { nickname, api_key: apiKey, secret_key: secretKey } = form.elements;
    // The secret leaves the page with the request, whatever becomes of it.
    const body = { nickname: nickname.value, api_key: apiKey.value, secret_key: take(secretKey) };
    const credential = await call("POST", "/api/credentials", body);
    tell(credential);
    onStored(credential);
  });
}

function open() {
  showForm();
  dialog.showModal();
}

function showForm() {
  forget();
  form.hidden = false;
  found.hidden = true;
  form.elements.nickname.focus();
}

function forget() {
  form.reset();
  form.querySelector(".form-problem").replaceChildren();
}

function tell({ nickname, credential_type: kind, account_number: number }) {
  const account = number === null ? "The account" : `Account ${number}`;
  const what = document.getElementById("found-what");
  what.replaceChildren("Alpaca says: ", badge(kind), element("br"), `${account} is stored sealed as “${nickname}”.`);
  forget();
  form.hidden = true;
  found.hidden = false;
  found.querySelector("button").focus();
}
