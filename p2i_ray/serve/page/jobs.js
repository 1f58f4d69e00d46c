// The client of batch jobs: many products painted one after the other, their pictures in one zip.

import { reach, send } from "./api.js";

const JOBS = "v1/jobs"; // relative: the page may live below a prefix
const KEY = "Idempotency-Key";
const UNKNOWN = 404;

/** A key of an order: sent again under the same one, an order is one job. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is there on https and loopback alone
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Submit products, [{name, image (Blob), mask (Blob or null)}]; fields: of each product's request, as texts; key: of the
 * order. Returns the job's id.
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
  const answer = await send("POST", JOBS, { fields: form, signal, headers: { [KEY]: key } });
  return (await reach(() => answer.json())).id;
}

/** The id of the job that an order has become; null: the order didn't arrive. */
export async function jobOf(key, signal) {
  const answer = await send("GET", JOBS, { signal, headers: { [KEY]: key } });
  return (await reach(() => answer.json())).data[0]?.id ?? null;
}

/** {status, total, done, failed}; status is "queued", "running", "paused", "completed" or "cancelled". */
export async function progressOf(id, signal) {
  const answer = await send("GET", `${JOBS}/${id}`, { signal });
  return reach(() => answer.json());
}

/** A finished job's zip: the pictures, and results.json. */
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
