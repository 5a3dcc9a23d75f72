/** The problems of an account on its own pages. While there are any, its figures are shown as outdated. */

import { element } from "./elements.js";
import { isOutage } from "./outages.js";
import { formatTimestamp } from "./timestamps.js";

// An outage explains why a list is unavailable, too.
const EXPLAINED_BY_AN_OUTAGE = new Set(["positions_unavailable", "orders_unavailable"]);

/** `page` has the `[data-problems]`, with those that the server knew. Returns what to do when one begins or ends. */
export function keepProblems(page) {
  const region = page.querySelector("[data-problems]");
  const problems = new Map([...region.querySelectorAll("[data-code]")].map((node) => [node.dataset.code, node]));
  const steps = [...region.querySelectorAll(".next-step")]; // what to do where the account cannot be shown
  let confirmedAt = page.querySelector("[data-as-of] time")?.dateTime;

  const draw = () => {
    const codes = [...problems.keys()];
    const hasOutage = codes.some(isOutage);
    const shown = codes.filter((code) => !(hasOutage && EXPLAINED_BY_AN_OUTAGE.has(code)));
    region.replaceChildren(...shown.map((code) => problems.get(code)), ...(shown.length > 0 ? steps : []));
    page.classList.toggle("stale", hasOutage);
  };
  const show = ({ code, detail, resolved }) => {
    if (isOutage(code)) for (const other of [...problems.keys()].filter(isOutage)) problems.delete(other);
    if (resolved) problems.delete(code);
    else problems.set(code, notice(code, detail, confirmedAt));
    draw();
  };
  /** The account's figures are current. */
  const confirm = (iso) => {
    if (![...problems.keys()].some(isOutage)) confirmedAt = iso;
  };
  return { show, confirm };
}

function notice(code, detail, confirmedAt) {
  const since = isOutage(code) && confirmedAt ? ["No update since ", time(confirmedAt), ". "] : [];
  return element("p", { class: "notice problem", "data-code": code }, since, detail, isOutage(code) ? " Corral keeps trying." : "");
}

function time(iso) {
  const node = element("time");
  formatTimestamp(node, iso);
  return node;
}
