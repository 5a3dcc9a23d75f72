/** Corral's API, asked with the session cookie. */

/** Why a call did not succeed: `detail` is the sentence for a person, `retryAfter` is in seconds or null. */
export class Problem extends Error {
  constructor({ status = 0, code = "", detail, retryAfter = null, errors = [] }) {
    super(detail);
    Object.assign(this, { status, code, detail, retryAfter, errors });
  }
}

/** Answers the body, or null where there is none. Every failure, the network's too, is thrown as a Problem. */
export async function call(method, path, body) {
  const response = await send(method, path, body);
  if (!response.ok) throw await readProblem(response);
  return response.status === 204 ? null : readJson(response);
}

async function send(method, path, body) {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  try {
    return await fetch(path, { method, credentials: "same-origin", cache: "no-store", ...json });
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

async function readProblem(response) {
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
