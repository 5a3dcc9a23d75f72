/** Codes of one-time links stand behind the `#`, the part of an address that a browser never sends. */

const CODE = /corral_[0-9A-Za-z]+/;

/** Hands the code in the address to `receive`, and takes it out of the address bar and the history first. */
export function receiveCode(receive) {
  const look = () => {
    const code = codeIn(location.hash);
    if (code === null) return;
    history.replaceState(null, "", location.pathname);
    receive(code);
  };
  // A link pasted into the address bar of an open page changes nothing but the hash.
  addEventListener("hashchange", look);
  look();
}

/** The code in a text that may be the whole link, or null. */
export function codeIn(text) {
  return CODE.exec(text)?.[0] ?? null;
}
