/** The settings of the display: only a script knows the device's time zone. */

import "./engine.js";
import { deviceZone, tellOtherPages } from "./preferences.js";

const zone = document.querySelector("[name=device_zone]");
const local = document.querySelector("[name=zone][value=local]");

zone.value = deviceZone();
local.disabled = false;
document.querySelector("[data-device-zone]").textContent = `(${zone.value})`;
if (document.querySelector("[data-saved=display]")) {
  history.replaceState(null, "", location.pathname); // a reload saves nothing and says nothing
  tellOtherPages();
}
