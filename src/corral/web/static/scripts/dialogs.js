/** A link with `data-dialog` leads to a page of its own; with a script, the same form opens in a dialog. */

export function offerDialogs() {
  for (const link of document.querySelectorAll("a[data-dialog]")) {
    const dialog = document.getElementById(link.dataset.dialog);
    if (!dialog) continue;
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      dialog.showModal();
      dialog.querySelector("input:not([type=radio])")?.focus();
    });
    dialog.addEventListener("close", () => empty(dialog));
    for (const closer of dialog.querySelectorAll("[data-close]")) {
      closer.addEventListener("click", (event) => {
        event.preventDefault();
        dialog.close();
      });
    }
  }
}

function empty(dialog) {
  for (const form of dialog.querySelectorAll("form")) form.reset();
  for (const region of dialog.querySelectorAll(".form-problem")) region.replaceChildren();
}
