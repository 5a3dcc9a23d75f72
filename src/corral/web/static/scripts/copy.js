/** A button with `data-copies` copies the text of that element; where the browser forbids it, it is selected. */

for (const button of document.querySelectorAll("[data-copies]")) {
  const source = document.getElementById(button.dataset.copies);
  const before = button.textContent;
  // What is shown once answered a form. From here on the page is one that is opened: a reload sends nothing again.
  history.replaceState(null, "", location.href);
  button.addEventListener("click", async () => {
    button.textContent = (await copied(source.textContent)) ? "Copied" : "Press Ctrl+C";
    if (button.textContent !== "Copied") getSelection().selectAllChildren(source);
    setTimeout(() => (button.textContent = before), 4000);
  });
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
