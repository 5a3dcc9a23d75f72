/** A button with `data-copies` copies the text of that element, or selects it if the browser forbids copying. */

import "./engine.js";

for (const button of document.querySelectorAll("[data-copies]")) {
  const source = document.getElementById(button.dataset.copies);
  const before = button.textContent;
  // The page is the response to a form. After this, a reload requests the page and does not submit the form again.
  history.replaceState(null, "", location.href);
  button.addEventListener("click", async () => {
    button.textContent = (await copy(source.textContent)) ? "Copied" : "Press Ctrl+C";
    if (button.textContent !== "Copied") getSelection().selectAllChildren(source);
    setTimeout(() => (button.textContent = before), 4000);
  });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
