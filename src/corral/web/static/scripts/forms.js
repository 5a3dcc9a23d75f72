import { Problem } from "./api.js";
import { problemNotice } from "./problem_notice.js";

/** Runs `send` when the form is submitted; meanwhile the form is busy, and a Problem is shown in it. */
export function onSubmit(form, send) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    const region = form.querySelector(".form-problem");
    if (button.disabled) return;
    region.replaceChildren();
    const release = hold(button, button.dataset.busy);
    try {
      await send();
      release();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      region.replaceChildren(problemNotice(problem));
      await countDown(button, problem.retryAfter ?? 0);
      release();
    }
  });
}

/** The value of a field, which is empty from then on. */
export function take(input) {
  const { value } = input;
  input.value = "";
  return value;
}

function hold(button, text) {
  const before = button.textContent;
  button.disabled = true;
  button.textContent = text;
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
