/** Creates elements. Text is always added as text, never as markup. */

/** `element("time", { class: "quiet", datetime: "…" }, "14:30")`; children are elements or texts, null is left out. */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) node.setAttribute(attribute, value);
  node.append(...children.flat().filter((child) => child !== null));
  return node;
}

/** A text in which what is between backticks becomes `<code>`. */
export function withCodeSpans(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

/** The same in paragraphs, which empty lines separate. */
export function paragraphs(text, attributes = {}) {
  return text
    .trim()
    .split(/\n\s*\n/)
    .filter(Boolean)
    .map((paragraph) => element("p", attributes, withCodeSpans(paragraph)));
}
