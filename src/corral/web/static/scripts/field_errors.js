/** The errors of a rejected form, each at its field, as the server renders them without JavaScript. */

import { element } from "./elements.js";

/** Replaces the errors that are shown. Returns those that belong to none of the visible fields. */
export function showFieldErrors(form, errors) {
  for (const node of form.querySelectorAll("[data-field] > .field-error")) clear(node.parentElement);
  return errors.filter(({ loc, msg }) => !show(form, String(loc[0] ?? ""), msg));
}

function show(form, name, message) {
  const field = form.querySelector(`[data-field="${CSS.escape(name)}"]`);
  const input = field?.querySelector("input");
  if (!input || field.hidden) return false;
  clear(field);
  const id = `${input.id}-error`;
  input.after(element("p", { class: "field-error", id }, message));
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-describedby", [id, hintOf(field)].filter(Boolean).join(" "));
  return true;
}

function clear(field) {
  field.querySelector(".field-error")?.remove();
  const input = field.querySelector("input");
  input.removeAttribute("aria-invalid");
  const hint = hintOf(field);
  if (hint) input.setAttribute("aria-describedby", hint);
  else input.removeAttribute("aria-describedby");
}

function hintOf(field) {
  return field.querySelector(".hint")?.id ?? "";
}
