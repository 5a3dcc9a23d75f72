import { element, prose } from "./elements.js";

const SIGNED_OUT = new Set(["unauthenticated", "session_ended"]);

/** What went wrong, in the API's own words, and what is wrong with which field. */
export function problemNotice(problem) {
  return element(
    "div",
    { class: "notice problem" },
    element("p", {}, prose(problem.detail)),
    ...problem.errors.map(({ loc, msg }) => element("p", {}, `${fieldName(loc)}: ${msg}`)),
    SIGNED_OUT.has(problem.code) ? element("p", {}, element("a", { href: signInPath() }, "Sign in")) : null,
    problem.retryAfter === null ? null : element("p", { class: "wait" }, waitText(problem.retryAfter)),
  );
}

function signInPath() {
  return `/sign-in?next=${encodeURIComponent(location.pathname)}`;
}

function fieldName(place) {
  return String(place.at(-1) ?? "body").replaceAll("_", " ");
}

function waitText(seconds) {
  return seconds === 1 ? "Try again in 1 second." : `Try again in ${seconds} seconds.`;
}
