import { element, withCodeSpans } from "./elements.js";

const SIGNED_OUT = new Set(["unauthenticated", "session_ended"]);

/** The problem's text, followed by those of its `errors` that are not shown at a field. */
export function problemNotice(problem, errors = problem.errors) {
  return element(
    "div",
    { class: "notice problem" },
    element("p", {}, withCodeSpans(problem.detail)),
    ...errors.filter(({ msg }) => msg !== problem.detail).map(({ msg }) => element("p", {}, msg)),
    SIGNED_OUT.has(problem.code) ? element("p", {}, element("a", { href: signInPath() }, "Sign in")) : null,
    problem.retryAfter === null ? null : element("p", { class: "wait" }, retryText(problem.retryAfter)),
  );
}

function signInPath() {
  return `/sign-in?next=${encodeURIComponent(location.pathname)}`;
}

function retryText(seconds) {
  return seconds === 1 ? "Try again in 1 second." : `Try again in ${seconds} seconds.`;
}
