/** A link with `data-dialog` opens a page with a form; with JavaScript, the same form opens in a dialog. */

import { showFieldErrors } from "./field_errors.js";

export function openLinksAsDialogs() {
  for (const link of document.querySelectorAll("a[data-dialog]")) {
    const dialog = document.getElementById(link.dataset.dialog);
    if (!dialog) continue;
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      dialog.showModal();
      dialog.querySelector("input:not([type=radio])")?.select();
    });
    dialog.addEventListener("close", () => reset(dialog));
    for (const closer of dialog.querySelectorAll("[data-close]")) {
      closer.addEventListener("click", (event) => {
        event.preventDefault();
        dialog.close();
      });
    }
  }
}

function reset(dialog) {
  for (const form of dialog.querySelectorAll("form")) {
    form.reset();
    showFieldErrors(form, []);
  }
  for (const region of dialog.querySelectorAll(".form-problem")) region.replaceChildren();
}
