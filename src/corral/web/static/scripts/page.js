/** What every page does beyond its own: figures in the reader's way of writing, forms, dialogs. */

import { offerDialogs } from "./dialogs.js";
import { writeFigure } from "./figures.js";
import { sendByScript } from "./forms.js";
import { formatMoment } from "./moment.js";
import { sendByBrowser } from "./plain_forms.js";

for (const node of document.querySelectorAll("data[class]")) writeFigure(node);
for (const node of document.querySelectorAll("time[datetime]")) formatMoment(node);
for (const form of document.querySelectorAll("form:not([data-plain])")) sendByScript(form);
for (const form of document.querySelectorAll("form[data-plain][method=post]")) sendByBrowser(form);
for (const node of document.querySelectorAll("[data-needs-script]")) node.hidden = false;
for (const box of document.querySelectorAll("[data-shows]")) {
  const field = document.getElementById(box.dataset.shows);
  box.addEventListener("change", () => (field.type = box.checked ? "text" : "password"));
}
offerDialogs();
// Back to a page that the browser kept: its figures, and who is signed in, may be of another time.
addEventListener("pageshow", (event) => event.persisted && location.reload());
