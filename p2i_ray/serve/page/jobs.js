// The client of batch jobs: many products painted one after the other, their pictures in one zip.

import { reach, send } from "./api.js";

const JOBS = "v1/jobs"; // relative: the page may live below a prefix
const KEY = "Idempotency-Key";
const UNKNOWN = 404;
const [ID_KEPT_AS, KEY_KEPT_AS] = ["p2i-job", "p2i-order"]; // for as long as the tab is open

/** A key of an order: sent again under the same one, an order is one job. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is there on https and loopback alone
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Submit products, [{name, image (Blob), mask (Blob or null)}]; fields: of each product's request, as texts; key: of the
 * order. Returns the job's id. It is kept, and before there is an answer the key; see keptOrder.
 */
export async function submitJob(products, fields, { key, signal }) {
  const files = {};
  const items = products.map(({ name, image, mask }, index) => {
    const item = { image: `image${index}`, name };
    files[item.image] = image;
    if (mask) {
      item.mask = `mask${index}`;
      files[item.mask] = mask;
    }
    return item;
  });
  const form = { ...fields, items: JSON.stringify(items), ...files };
  keepOrder({ key });
  const answer = await send("POST", JOBS, { fields: form, signal, headers: { [KEY]: key } });
  const { id } = await reach(() => answer.json());
  keepOrder({ id });
  return id;
}

/** The id of the job that an order has become, which is kept then; null: the order didn't arrive. */
export async function jobOf(key, signal) {
  const answer = await send("GET", JOBS, { signal, headers: { [KEY]: key } });
  const id = (await reach(() => answer.json())).data[0]?.id ?? null;
  if (id) keepOrder({ id });
  return id;
}

/** Remember an order by its job's id or, until it is answered, by its key; neither: there is none. */
export function keepOrder({ id = null, key = null } = {}) {
  for (const [name, value] of [[ID_KEPT_AS, id], [KEY_KEPT_AS, key]]) {
    if (value) sessionStorage.setItem(name, value);
    else sessionStorage.removeItem(name);
  }
}

/** The order that is remembered, {id, key}, one of them null; null: there is none. */
export function keptOrder() {
  const [id, key] = [ID_KEPT_AS, KEY_KEPT_AS].map((name) => sessionStorage.getItem(name));
  return id || key ? { id, key } : null;
}

/** {status, total, done, failed}; status is "queued", "running", "paused", "completed" or "cancelled". */
export async function progressOf(id, signal) {
  const answer = await send("GET", `${JOBS}/${id}`, { signal });
  return reach(() => answer.json());
}

/** A finished job's zip: the pictures, results.json and results.csv. */
export async function resultOf(id, signal) {
  const answer = await send("GET", `${JOBS}/${id}/result`, { signal });
  return reach(() => answer.blob());
}

/** Stop the job of an order's key, also one whose answer never came; it is none if the order didn't arrive. */
export async function cancelOrder(key) {
  try {
    await send("POST", `${JOBS}/cancel`, { headers: { [KEY]: key } });
  } catch (error) {
    if (error.status !== UNKNOWN) throw error;
  }
}

/** Stop a job; one that has ended meanwhile stays as it is. */
export async function cancelJob(id) {
  await send("POST", `${JOBS}/${id}/cancel`);
}
