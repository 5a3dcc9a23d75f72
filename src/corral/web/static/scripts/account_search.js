/** Filters a list of accounts while its reader types: by name, number and group. */

/** `field` filters the elements with `data-entry` in `list`; Enter opens the first one that is left. */
export function searchAccounts(field = document.querySelector("[data-search]"), list = document) {
  if (!field) return;
  const entries = [...list.querySelectorAll("[data-entry]")];
  const texts = new Map(entries.map((entry) => [entry, entry.dataset.entry.toLowerCase()]));
  const filter = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const entry of entries) entry.hidden = !words.every((word) => texts.get(entry).includes(word));
    for (const section of list.querySelectorAll("[data-section]")) {
      section.hidden = words.length > 0 && !section.querySelector("[data-entry]:not([hidden])");
    }
    const status = list.querySelector("[data-found]");
    if (status) status.textContent = words.length ? `${entries.filter(({ hidden }) => !hidden).length} of ${entries.length} accounts` : "";
  };
  field.addEventListener("input", filter);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      if (field.value) entries.find(({ hidden }) => !hidden)?.querySelector('a[href^="/accounts/"]')?.click();
    } else if (event.key === "Escape" && field.value) {
      field.value = "";
      filter();
    }
  });
  filter(); // the browser may have kept a text
}
