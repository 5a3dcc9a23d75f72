/** Forms that a script sends: what was filled in stays when they are refused, but for secrets. */

import { Problem, readProblem, send } from "./api.js";
import { problemNotice } from "./problem_notice.js";

/** The form is sent to its own address. Taken, the page goes on where the answer leads. */
export function sendByScript(form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter ?? form.querySelector("button[type=submit]");
    const region = form.querySelector(".form-problem");
    if (button.disabled) return;
    region?.replaceChildren();
    const release = hold(button);
    try {
      await sendForm(form);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      region?.replaceChildren(problemNotice(problem));
      await countDown(button, problem.retryAfter ?? 0);
      release();
    }
  });
}

async function sendForm(form) {
  const body = new URLSearchParams(new FormData(form));
  // A secret leaves the page with the request, whatever becomes of it.
  for (const field of form.querySelectorAll("input[type=password]")) field.value = "";
  const answer = await send(form.action, { method: "POST", body, headers: { accept: "application/problem+json" } });
  if (!answer.ok) throw await readProblem(answer);
  location.assign(answer.url);
}

function hold(button) {
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
