// The client of the server's API, and its errors.

import { APIError } from "./errors.js";

const CUTOUTS = "v1/cutouts"; // relative: the page may live below a prefix
const EDITS = "v1/images/edits";
const KEPT_AS = "p2i-token";
const PRIVATE = { credentials: "omit", referrerPolicy: "no-referrer" };

/** An error's code if none of the painted pictures is what was asked for. */
export const NONE_ACCEPTED = "none_accepted";

let askForToken = async () => null;

/** Set the function that asks for a token: async (wasRefused) => token, or null to give up. */
export function onTokenWanted(ask) {
  askForToken = ask;
}

/** The product of a photo (Blob) on transparent ground, a PNG Blob; its sides may be smaller than the photo's. */
export async function cutOut(photo, signal) {
  const answer = await send("POST", CUTOUTS, { fields: { image: photo, response_format: "png" }, signal });
  return reach(() => answer.blob());
}

/**
 * Pictures of the product, the best first if the server has a judge.
 * photo: Blob; mask: PNG Blob of its size, opaque where the product is, transparent where to paint (OpenAI's convention).
 * reference: Blob of a square picture in whose style is painted, or null. fields: more of the request's, as texts.
 * Returns {pictures, painted, refused}: pictures are [{blob, format, seed, score, reason, truth, paintedAs}], where score
 * (1 to 5) and reason are null if nothing was judged, and paintedAs is the trained category that stood in for one that
 * was not, else null; painted is how many there were, refused how often for which reason.
 */
export async function paint({ photo, mask, name, reference, fields }, signal) {
  const sent = { image: photo, mask, prompt: name, ...fields };
  if (reference) sent.reference = reference;
  const answer = await send("POST", EDITS, { fields: sent, signal });
  const { data, output_format: format, painted = data.length, refused = {} } = await reach(() => answer.json());
  const pictures = data.map((one) => {
    const { b64_json: base64, seed = null, score = null, reason = null, truth = null, painted_as: paintedAs = null } = one;
    return { blob: blobOf(base64, format), format, seed, score, reason, truth, paintedAs };
  });
  return { pictures, painted, refused };
}

/**
 * A response of the server, asked for a token where it wants one; raises an APIError where it isn't OK.
 * fields: of a form, texts and Blobs; none: there is no body.
 */
export async function send(method, path, { fields = null, signal = null, headers = {} } = {}) {
  const body = fields && formOf(fields);
  for (;;) {
    const token = sessionStorage.getItem(KEPT_AS);
    const known = token ? { Authorization: `Bearer ${token}` } : {};
    const request = { method, body, headers: { ...headers, ...known }, signal, ...PRIVATE };
    const response = await reach(() => fetch(path, request));
    if (response.ok) return response;
    if (response.status !== 401) throw await errorOf(response);
    if (!(await anotherToken(token))) throw await errorOf(response);
    signal?.throwIfAborted();
  }
}

function formOf(fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value instanceof Blob) form.append(name, value, value.type === "image/png" ? `${name}.png` : `${name}.jpg`);
    else form.append(name, String(value));
  }
  return form;
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

/** The result of work that needs the connection. */
export async function reach(work) {
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
    const { message, param, code } = (await response.json()).error;
    return new APIError(wordsOf(code, message), { status, retryAfter, param, code });
  } catch { // no error object of the server: e.g. a proxy's page
    return new APIError(`The server answered ${status}. Try again later.`, { status, retryAfter });
  }
}

// The server's own advice is for programs.
function wordsOf(code, line) {
  if (code === "no_product" && line.includes("no product found")) { // a photo that can't be cut
    return "No product was found in this photo. Erase the background with the brush, or take a photo before a calm background.";
  }
  if (code !== NONE_ACCEPTED) return sentence(line);
  return `${sentence(line.replace(/; raise max_candidates.*$/, ""))} Try again, mend the cutout, or take any picture.`;
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
function blobOf(base64, format) {
  return new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], { type: `image/${format}` });
}
