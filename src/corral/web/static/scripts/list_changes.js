/** Which events of the stream change a list of all accounts. */

// The exchange cancels or corrects a fill.
const CORRECTIONS = new Set(["trade_bust", "trade_correct"]);
// Problems that each list does not show, by their codes.
const OF_OTHERS = { holdings: /^orders?_/, orders: /^(order_stream|positions_)/, activity: /^(orders?|positions)_/ };

/** What each list needs of the stream, besides problems and gaps. `account-data` tells of new accounts. */
export const EVENTS = {
  holdings: ["account-data", "position"],
  orders: ["account-data", "order"],
  activity: ["account-data", "order"],
};

/**
 * `list()` has what the page shows now: its kind (`live`: "holdings", "orders" or "activity"), the ids of its
 * `accounts` and their `money` ("paper" or "live"). Returns a function that gets the name and the payload of an event
 * and returns whether the list may have changed.
 */
export function watchList(list) {
  const cash = new Map(); // by account
  const added = new Set(); // accounts that the page did not show

  const isNew = (name, { credential_id: id, account_type: money }) => {
    if (name !== "account-data" || money !== list().money || added.has(id)) return false;
    added.add(id);
    return true;
  };
  const hasNewCash = ({ credential_id: id, balance }) => {
    const before = cash.get(id);
    cash.set(id, balance);
    return before !== undefined && before !== balance;
  };

  return (name, event) => {
    const { live, accounts } = list();
    if (event.credential_id === null) return name === "gap";
    if (!accounts?.split(" ").includes(event.credential_id)) return isNew(name, event);
    added.delete(event.credential_id);
    if (name === "account-data") return hasNewCash(event) && live === "activity";
    if (name === "position") return live === "holdings";
    if (name === "order") return live === "orders" || (live === "activity" && isTrade(event));
    return name === "gap" || !OF_OTHERS[live].test(event.code);
  };
}

function isTrade({ event, filled_since: quantity }) {
  return /[1-9]/.test(quantity) || CORRECTIONS.has(event);
}
