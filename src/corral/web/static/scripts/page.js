/** What every page does: localized numbers, forms, menus, dialogs. */

import "./engine.js";
import { copyRealAmounts } from "./copying.js";
import { openLinksAsDialogs } from "./dialogs.js";
import { writeFigure } from "./figures.js";
import { submitByScript } from "./forms.js";
import { closeWhenLeft } from "./menu.js";
import { ignoreDoubleSubmit } from "./plain_forms.js";
import { followDevice, switchByScript } from "./preferences.js";

for (const node of document.querySelectorAll("data[class]")) writeFigure(node);
for (const form of document.querySelectorAll("form:not([data-plain])")) submitByScript(form);
for (const form of document.querySelectorAll("form[data-plain][method=post]")) ignoreDoubleSubmit(form);
for (const node of document.querySelectorAll("[data-needs-script]")) node.hidden = false;
for (const box of document.querySelectorAll("[data-shows]")) {
  const field = document.getElementById(box.dataset.shows);
  box.addEventListener("change", () => (field.type = box.checked ? "text" : "password"));
}
for (const menu of document.querySelectorAll("[data-menu]")) closeWhenLeft(menu);
for (const form of document.querySelectorAll("[data-amounts-switch]")) switchByScript(form);
openLinksAsDialogs();
copyRealAmounts();
followDevice();
document.addEventListener("visibilitychange", followDevice);
// A page from the back/forward cache may have old figures or belong to another user.
addEventListener("pageshow", (event) => event.persisted && location.reload());
