/** The list of accounts that need their owner. An outage does not: Corral keeps trying. */

import { isSettled } from "./card_state.js";
import { element } from "./elements.js";

// Where to go, by the code of the problem. `view/attention.py` has the same.
const REMEDIES = {
  credential_refused: ["/keys/", "/replace", "Replace API key"],
  wrong_account: ["/keys/", "", "API key"],
  account_not_open: ["/accounts/", "", "View account"],
  alpaca_refused: ["/accounts/", "", "View account"],
  blocks: ["/accounts/", "", "View account"],
};

/** Returns functions to call with a card or row when its account has answered, failed, or is restricted. */
export function keepAttention(cards) {
  const section = document.querySelector("[data-attention]");
  const none = document.querySelector("[data-no-attention]");
  const list = section?.querySelector("ul");

  const itemsOf = (card) => [...list.querySelectorAll(`[data-attention-of="${card.dataset.account}"]`)];
  const count = () => {
    const number = new Set([...list.children].map((item) => item.dataset.attentionOf)).size;
    section.hidden = number === 0;
    none.hidden = number > 0;
    none.textContent = [...cards.values()].every(isSettled) ? "No accounts need attention." : "Checking accounts…";
    section.querySelector("[data-attention-count]").textContent = `${number} need${number === 1 ? "s" : ""} attention`;
  };
  const set = (card, code, text) => {
    if (!REMEDIES[code]) return;
    const before = itemsOf(card).find((item) => item.dataset.code === code);
    if (before && text === before.querySelector("[data-text]").textContent) return;
    before?.remove();
    if (text) list.append(itemFor(card, code, text));
  };
  const setAndCount = (...changes) => {
    if (!section) return;
    for (const change of changes) set(...change);
    count();
  };

  return {
    clearProblems: (card) => setAndCount(...Object.keys(REMEDIES).filter((code) => code !== "blocks").map((code) => [card, code, ""])),
    showProblem: (card, { code, detail, resolved }) => setAndCount([card, code, resolved ? "" : firstSentence(detail)]),
    showBlocks: (card, blocks) => setAndCount([card, "blocks", blocks.map(firstSentence).join(". ")]),
  };
}

function itemFor(card, code, text) {
  const [before, after, label] = REMEDIES[code];
  const { account } = card.dataset;
  const name = card.querySelector('a[href^="/accounts/"]').textContent;
  const href = `${before}${account}${after}`;
  return element("li", { "data-attention-of": account, "data-code": code }, [
    element("span", { class: "attention-name" }, card.querySelector(".badge").cloneNode(true), " ", element("strong", {}, name)),
    element("span", { "data-text": "" }, text),
    element("a", { href, "aria-label": `${label} of ${name}` }, label),
  ]);
}

function firstSentence(text) {
  return text.split(". ")[0].replace(/\.$/, "");
}
