import { AccountCard } from "./account_card.js";
import { offerAddKeys } from "./add_keys.js";
import { call, Problem } from "./api.js";
import { problemNotice } from "./problem_notice.js";

const signedOut = document.getElementById("signed-out");
const signedIn = document.getElementById("signed-in");
const list = document.getElementById("cards");
const pageProblem = document.getElementById("page-problem");
const cards = new Map();

document.getElementById("refresh").addEventListener("click", () => attempt(showAccounts));
document.getElementById("sign-out").addEventListener("click", () => attempt(signOut));
offerAddKeys(() => attempt(showAccounts));
// Back to a page that the browser kept: its figures, and who is signed in, may be of another time.
addEventListener("pageshow", (event) => event.persisted && attempt(start));
attempt(start);

async function start() {
  const me = await call("GET", "/api/me");
  document.getElementById("who").textContent = me.email;
  signedOut.hidden = true;
  signedIn.hidden = false;
  await showAccounts();
}

async function showAccounts() {
  const { items } = await call("GET", "/api/credentials");
  const ids = new Set(items.map(({ id }) => id));
  for (const id of cards.keys()) if (!ids.has(id)) cards.delete(id);
  list.replaceChildren(...items.map((credential) => cardOf(credential).node));
  document.getElementById("empty").hidden = items.length > 0;
  for (const card of cards.values()) card.refresh();
}

function cardOf(credential) {
  const card = cards.get(credential.id) ?? new AccountCard(credential, showSignedOut);
  cards.set(credential.id, card);
  card.describe(credential);
  return card;
}

async function signOut() {
  await call("DELETE", "/api/session");
  showSignedOut();
}

/** Takes every figure off the page, for the browser may show it again to whoever comes next. */
function showSignedOut() {
  cards.clear();
  list.replaceChildren();
  document.getElementById("add-keys").close();
  signedIn.hidden = true;
  signedOut.hidden = false;
}

async function attempt(deed) {
  pageProblem.replaceChildren();
  try {
    await deed();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 401) showSignedOut();
    else pageProblem.replaceChildren(problemNotice(problem));
  }
}
