import "./engine.js";
import { callElement } from "./api_call.js";
import { Problem, read } from "./api.js";
import { element, paragraphs } from "./elements.js";
import { groupedCalls } from "./openapi.js";
import { problemNotice } from "./problem_notice.js";

const api = document.getElementById("api");

addEventListener("hashchange", openLinked);
await show();

async function show() {
  try {
    api.replaceChildren(...description(await read("/openapi.json")));
    openLinked();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    document.getElementById("loading").remove();
    document.getElementById("page-problem").replaceChildren(problemNotice(problem));
  } finally {
    api.ariaBusy = "false";
  }
}

function description(openapi) {
  const { title = "API", version = "", description: text = "" } = openapi.info ?? {};
  return [
    element("h1", {}, `${title} API`),
    element("p", { class: "quiet" }, `Version ${version} · `, element("a", { href: "/openapi.json" }, "openapi.json")),
    ...paragraphs(text, { class: "lead" }),
    ...groupedCalls(openapi).map((group) => groupElement(openapi, group)),
  ];
}

function groupElement(openapi, { name, description: text, calls }) {
  const title = name.charAt(0).toUpperCase() + name.slice(1);
  return element("section", { class: "group" }, [
    element("h2", {}, title),
    ...paragraphs(text),
    ...calls.map((call) => callElement(openapi, call)),
  ]);
}

function openLinked() {
  const linked = document.getElementById(location.hash.slice(1));
  if (!(linked instanceof HTMLDetailsElement)) return;
  linked.open = true;
  linked.scrollIntoView();
}
