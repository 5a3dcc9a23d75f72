/** Changes how this device shows the pages, without leaving the page. Its other open pages follow. */

import { Problem, send } from "./api.js";
import { IS_LOCAL_ZONE, TIME_ZONE } from "./display.js";

const pages = new BroadcastChannel("display");
pages.addEventListener("message", () => location.reload());

/** The IANA name of the device's zone now, which changes on a journey. */
export function deviceZone() {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}

export function tellOtherPages() {
  pages.postMessage("changed");
}

/** The switch that hides or shows all amounts. A reload, unlike the response of a form, adds nothing to the history. */
export function switchByScript(form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await store(form.action, { [event.submitter.name]: event.submitter.value });
    location.reload();
  });
}

/** In local time, the page follows the device into another zone. */
export async function followDevice() {
  const zone = deviceZone();
  // The server may not know the zone, and is asked once.
  if (!IS_LOCAL_ZONE || document.hidden || zone === TIME_ZONE || zone === sessionStorage.getItem("zone")) return;
  sessionStorage.setItem("zone", zone);
  if (await store("/you/display/zone", { device_zone: zone })) location.reload();
}

/** Returns whether the preference is stored. */
async function store(path, fields) {
  const headers = { accept: "application/problem+json" };
  try {
    const response = await send(path, { method: "POST", body: new URLSearchParams(fields), headers, redirect: "manual" });
    const isStored = response.type === "opaqueredirect";
    if (isStored) tellOtherPages();
    return isStored;
  } catch (problem) {
    if (problem instanceof Problem) return false;
    throw problem;
  }
}
