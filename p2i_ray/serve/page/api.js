// The client of the server's API, and its errors.

import { APIError } from "./errors.js";

const CUTOUTS = "v1/cutouts"; // relative: the page may live below a prefix
const EDITS = "v1/images/edits";
const KEPT_AS = "p2i-token";

let askForToken = async () => null;

/** Set the function that asks for a token: async (wasRefused) => token, or null to give up. */
export function onTokenWanted(ask) {
  askForToken = ask;
}

/** The product of a photo (Blob) on transparent ground, a PNG Blob; its sides may be smaller than the photo's. */
export async function cutOut(photo, signal) {
  const answer = await post(CUTOUTS, { image: photo, response_format: "png" }, signal);
  return reach(() => answer.blob());
}

let judged = true; // until the server says that it has no judge

/**
 * Pictures of the product, the best first if the server has a judge.
 * photo: Blob; mask: PNG Blob of its size, opaque where the product is, transparent where to paint (OpenAI's convention).
 * reference: Blob of a square picture in whose style is painted, or null.
 * Returns [{blob, seed, score, reason}]; score (1 to 5) and reason are null where nothing was judged.
 */
export async function paint({ photo, mask, name, reference, count }, signal) {
  const fields = { image: photo, mask, prompt: name, n: count, output_format: "png" };
  if (reference) fields.reference = reference;
  const ranked = { ...fields, best_of: count }; // every picture is judged and comes with its score
  let answer;
  try {
    answer = await post(EDITS, judged ? ranked : fields, signal);
  } catch (error) {
    if (error.param !== "best_of" || !judged) throw error;
    judged = false;
    answer = await post(EDITS, fields, signal);
  }
  const { data } = await reach(() => answer.json());
  return data.map(({ b64_json, seed = null, score = null, reason = null }) => ({
    blob: pngOf(b64_json), seed, score, reason,
  }));
}

async function post(path, fields, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value instanceof Blob) form.append(name, value, value.type === "image/png" ? `${name}.png` : `${name}.jpg`);
    else form.append(name, String(value));
  }
  for (;;) {
    const token = sessionStorage.getItem(KEPT_AS);
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const options = { method: "POST", body: form, headers, signal, credentials: "omit", referrerPolicy: "no-referrer" };
    const response = await reach(() => fetch(path, options));
    if (response.ok) return response;
    if (response.status !== 401) throw await errorOf(response);
    if (!(await anotherToken(token))) throw await errorOf(response);
    signal?.throwIfAborted();
  }
}

// Two requests may be refused at once: the person is asked once.
let asking = null;
async function anotherToken(refused) {
  const kept = sessionStorage.getItem(KEPT_AS);
  if (kept !== refused) return kept;
  asking ??= askForToken(refused !== null).finally(() => { asking = null; });
  const given = await asking;
  if (given) sessionStorage.setItem(KEPT_AS, given);
  return given;
}

async function reach(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // AbortError; fetch and bodies raise TypeError when the connection is lost
    throw new APIError("The server can't be reached. Check that it runs, then try again.");
  }
}

async function errorOf(response) {
  const { status } = response;
  const retryAfter = secondsOf(response.headers.get("Retry-After"));
  try {
    const { message, param } = (await response.json()).error;
    return new APIError(sentence(message), { status, retryAfter, param });
  } catch { // no error object of the server: e.g. a proxy's page
    return new APIError(`The server answered ${status}. Try again later.`, { status, retryAfter });
  }
}

function sentence(line) {
  const text = line.trim();
  return text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

/** Seconds of a Retry-After header, which may be a number or a date. */
export function secondsOf(header, now = Date.now()) {
  if (!header) return null;
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
}

// fetch("data:…") would need connect-src data:, which the page's policy forbids.
function pngOf(base64) {
  return new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], { type: "image/png" });
}
