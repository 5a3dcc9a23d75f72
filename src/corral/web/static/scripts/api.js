/** Requests to Corral's API with the session cookie. */

/** Why a request failed: `detail` is the text for the reader, `retryAfter` is in seconds or null. */
export class Problem extends Error {
  constructor({ status = 0, code = "", detail, retryAfter = null, errors = [] }) {
    super(detail);
    Object.assign(this, { status, code, detail, retryAfter, errors });
  }
}

/** Returns the body. Every failure, of the network too, is thrown as a Problem. */
export async function read(path) {
  const response = await send(path);
  if (!response.ok) throw await readProblem(response);
  return readJson(response);
}

/** `fetch` with the session cookie. Throws a Problem if Corral cannot be reached. */
export async function send(path, options = {}) {
  try {
    return await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new Problem({ code: "unreachable", detail: "Can't reach Corral. Check your connection and try again." });
  }
}

async function readJson(response) {
  try {
    return await response.json();
  } catch {
    throw new Problem({ status: response.status, detail: "The connection was interrupted. Try again." });
  }
}

export async function readProblem(response) {
  const body = await response.json().catch(() => ({}));
  const retryAfter = response.headers.get("retry-after") ?? "";
  return new Problem({
    status: response.status,
    code: body.code,
    detail: body.detail ?? `Corral returned an error (${response.status}). Try again shortly.`,
    retryAfter: /^\d+$/.test(retryAfter) ? Number(retryAfter) : null,
    errors: body.errors ?? [],
  });
}
