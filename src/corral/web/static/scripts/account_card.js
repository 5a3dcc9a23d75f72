import { call, Problem } from "./api.js";
import { badge } from "./badge.js";
import { element } from "./elements.js";
import { formatMoney } from "./money.js";
import { momentElement } from "./moment.js";
import { problemNotice } from "./problem_notice.js";

/** One account, which asks for its figures by itself, so that a slow one delays nobody else. */
export class AccountCard {
  #id;
  #onSignedOut;
  #name = element("h2");
  #badge = element("span");
  #number = element("p", { class: "quiet account-number" });
  #body = element("div", { class: "card-body" }, skeleton());

  constructor(credential, onSignedOut) {
    this.#id = credential.id;
    this.#onSignedOut = onSignedOut;
    this.node = element("article", { "aria-labelledby": `account-${credential.id}`, tabindex: "-1" }, [
      element("header", {}, element("div", {}, this.#name, this.#number), this.#badge),
      this.#body,
    ]);
    this.#name.id = `account-${credential.id}`;
    this.describe(credential);
  }

  /** The part that Corral itself knows. */
  describe({ nickname, credential_type: kind, account_number: number }) {
    this.node.className = `card ${kind}`;
    this.#name.textContent = nickname;
    this.#number.textContent = number ?? "";
    this.#badge.replaceChildren(badge(kind));
  }

  /** The part that Alpaca knows. Old figures stay, dimmed, until the answer is there, but never beside a problem. */
  async refresh() {
    if (this.node.ariaBusy === "true") return;
    this.node.ariaBusy = "true";
    try {
      const account = await call("GET", `/api/credentials/${encodeURIComponent(this.#id)}/account-data`);
      this.#body.replaceChildren(...warnings(account), ...figures(account));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (problem.status === 401) this.#onSignedOut();
      this.#body.replaceChildren(problemNotice(problem), this.#retryButton());
    } finally {
      this.node.ariaBusy = "false";
    }
  }

  #retryButton() {
    const button = element("button", { type: "button" }, "Try again");
    button.addEventListener("click", () => {
      this.node.focus(); // the button is about to go
      this.refresh();
    });
    return button;
  }
}

function warnings(account) {
  const told = [
    account.account_blocked ? "Alpaca has blocked this account." : null,
    account.trading_blocked ? "Alpaca has blocked trading." : null,
  ].filter(Boolean);
  return told.map((text) => element("p", { class: "notice warning" }, text));
}

function figures(account) {
  const money = (amount) => formatMoney(amount, account.currency);
  return [
    element("dl", { class: "figures" }, [
      figure("Equity", money(account.equity), "figure equity"),
      figure("Balance", money(account.balance)),
      figure("Buying power", money(account.buying_power)),
    ]),
    ...dayTrades(account),
    element("p", { class: "quiet as-of" }, "As of ", momentElement(account.last_updated)),
  ];
}

function figure(name, value, kind = "figure") {
  return element("div", { class: kind }, element("dt", {}, name), element("dd", {}, value));
}

// Alpaca stopped saying so on 2026-07-06; where it still does, it matters.
function dayTrades({ pattern_day_trader: isPattern, daytrade_count: count }) {
  const told = [isPattern ? "Pattern day trader" : null, count > 0 ? `Day trades: ${count}` : null].filter(Boolean);
  return told.length ? [element("p", {}, told.join(" · "))] : [];
}

function skeleton() {
  return element("div", { class: "skeleton", role: "img", "aria-label": "Asking Alpaca" }, [
    element("span", { class: "bar large" }),
    element("span", { class: "bar" }),
    element("span", { class: "bar" }),
  ]);
}
