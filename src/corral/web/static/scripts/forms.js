/** Forms that a script submits: when they are rejected, all values except secrets stay. */

import { Problem, readProblem, send } from "./api.js";
import { showFieldErrors } from "./field_errors.js";
import { problemNotice } from "./problem_notice.js";

/** Submits the form to its own URL. When it is accepted, the browser goes to where the response redirects. */
export function submitByScript(form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter ?? form.querySelector("button[type=submit]");
    const region = form.querySelector(".form-problem");
    if (button.disabled) return;
    region?.replaceChildren();
    showFieldErrors(form, []);
    const enable = disable(button);
    try {
      await submit(form);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      const otherErrors = showFieldErrors(form, problem.errors);
      const invalid = form.querySelector("[aria-invalid=true]");
      // The field with the focus is read aloud with its error.
      if (invalid && otherErrors.length === 0 && problem.retryAfter === null) invalid.focus();
      else region?.replaceChildren(problemNotice(problem, otherErrors));
      await countDown(button, problem.retryAfter ?? 0);
      enable();
    }
  });
}

async function submit(form) {
  const body = new URLSearchParams(new FormData(form));
  // Secrets leave the page with the request, whatever its outcome.
  for (const field of form.querySelectorAll("input[type=password]")) field.value = "";
  const response = await send(form.action, { method: "POST", body, headers: { accept: "application/problem+json" } });
  if (!response.ok) throw await readProblem(response);
  location.assign(response.url);
}

function disable(button) {
  const before = button.textContent;
  button.disabled = true;
  button.textContent = button.dataset.busy ?? before;
  return () => {
    button.disabled = false;
    button.textContent = before;
  };
}

async function countDown(button, seconds) {
  for (let left = seconds; left > 0; left -= 1) {
    button.textContent = `Wait ${left} s`;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}
