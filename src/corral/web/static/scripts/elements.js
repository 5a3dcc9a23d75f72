/** The one way in which these pages make elements: text is always text. */

/** `element("time", { class: "quiet", datetime: "…" }, "14:30")`; children are elements or texts, null is left out. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children.flat().filter((child) => child !== null));
  return made;
}

/** A text in which `` `code` `` is set as code. */
export function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

/** The same with paragraphs at empty lines. */
export function paragraphs(text, attributes = {}) {
  return text
    .trim()
    .split(/\n\s*\n/)
    .filter(Boolean)
    .map((paragraph) => element("p", attributes, prose(paragraph)));
}
