/** Single keys, unless they are turned off (WCAG 2.1.4): `/` finds an account, and numbers open one. */

/** `find` returns the field to focus, and makes it visible. */
export function listenForKeys(find) {
  if (!document.querySelector("[data-shortcuts]")) return;
  addEventListener("keydown", (event) => {
    // Shift is needed for these characters on some keyboards.
    if (event.defaultPrevented || event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]")) return;
    if (event.key === "/") {
      const field = find();
      if (!field) return;
      event.preventDefault(); // or Firefox opens its own search
      field.focus();
    } else if (/^[1-9]$/.test(event.key)) {
      document.querySelector(`a[data-key="${event.key}"]`)?.click();
    }
  });
}
