/** Corral's API, asked with the session cookie. */

/** Why a call did not succeed: `detail` is the sentence for a person, `retryAfter` is in seconds or null. */
export class Problem extends Error {
  constructor({ status = 0, code = "", detail, retryAfter = null, errors = [] }) {
    super(detail);
    Object.assign(this, { status, code, detail, retryAfter, errors });
  }
}

/** Answers the body. Every failure, the network's too, is thrown as a Problem. */
export async function read(path) {
  const response = await send(path);
  if (!response.ok) throw await readProblem(response);
  return readJson(response);
}

/** `fetch` with the session's cookie, which throws a Problem where Corral cannot be reached. */
export async function send(path, options = {}) {
  try {
    return await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new Problem({ code: "unreachable", detail: "Corral cannot be reached from here. Try again shortly." });
  }
}

async function readJson(response) {
  try {
    return await response.json();
  } catch {
    throw new Problem({ status: response.status, detail: "The answer broke off on its way. Try again shortly." });
  }
}

export async function readProblem(response) {
  const told = await response.json().catch(() => ({}));
  const wait = response.headers.get("retry-after") ?? "";
  return new Problem({
    status: response.status,
    code: told.code,
    detail: told.detail ?? `Corral answered with status ${response.status}. Try again shortly.`,
    retryAfter: /^\d+$/.test(wait) ? Number(wait) : null,
    errors: told.errors ?? [],
  });
}
