/** One sentence for a failure of Alpaca that several accounts share. `view/outages.py` has the same rules. */

const WHAT_HAPPENS = {
  upstream_failed: "Alpaca is returning errors",
  upstream_timeout: "Alpaca isn't responding",
  upstream_unavailable: "Alpaca can't be reached",
};
const SETTLE_MS = 200;

/** Whether a problem with this code may concern all accounts at once. Corral repeats these requests by itself. */
export function isOutage(code) {
  return Object.hasOwn(WHAT_HAPPENS, code);
}

/** `codesByAccount` has the problem codes of each account. Returns "" unless at least two of them have an outage. */
export function outageText(codesByAccount) {
  const codes = codesByAccount.map((codes) => codes.find(isOutage)).filter(Boolean);
  if (codes.length < 2) return "";
  const what = new Set(codes).size > 1 ? WHAT_HAPPENS.upstream_timeout : WHAT_HAPPENS[codes[0]];
  const whose = codes.length === codesByAccount.length ? `all ${codes.length}` : `${codes.length} of ${codesByAccount.length}`;
  return `${what} for ${whose} accounts; Corral keeps trying.`;
}

/**
 * Keeps the page's `[data-outage]` line. Returns a function to call after any account's problems have changed.
 * `codesOf()` returns the problem codes of all accounts; `onChange` gets whether the line explains their outages.
 */
export function keepOutageLine(codesOf, onChange) {
  const line = document.querySelector("[data-outage]");
  let timer = 0;
  const update = () => {
    timer = 0;
    const text = outageText(codesOf());
    line.hidden = !text;
    if (line.textContent !== text) line.textContent = text;
    onChange(Boolean(text));
  };
  // Problems of many accounts arrive one by one, and a screen reader should announce their number once.
  return () => (timer ||= setTimeout(update, SETTLE_MS));
}
