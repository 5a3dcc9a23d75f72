import { element } from "./elements.js";

/** PAPER or LIVE, told apart by word, shape and colour. */
export function badge(kind) {
  return element("span", { class: `badge ${kind}` }, [
    element("span", { class: "shape", "aria-hidden": "true" }),
    kind.toUpperCase(),
  ]);
}
