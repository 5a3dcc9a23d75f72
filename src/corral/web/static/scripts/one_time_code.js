/** The code of a one-time link is in the URL's fragment (after `#`), which browsers never send. */

const CODE = /corral_[0-9A-Za-z]+/;

/** Removes the code from the address bar and the history, and then passes it to `receive`. */
export function receiveCode(receive) {
  const look = () => {
    const code = codeIn(location.hash);
    if (code === null) return;
    history.replaceState(null, "", location.pathname);
    receive(code);
  };
  // A link pasted into the address bar of an open page only changes the fragment.
  addEventListener("hashchange", look);
  look();
}

/** Returns the code in a text, which may be the whole link, or null. */
export function codeIn(text) {
  return CODE.exec(text)?.[0] ?? null;
}
