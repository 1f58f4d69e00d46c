// The client of batch jobs: many products painted one after the other, their pictures in one zip.

import { reach, send } from "./api.js";

const JOBS = "v1/jobs"; // relative: the page may live below a prefix

/**
 * Submit products, [{name, image (Blob), mask (Blob or null)}]; fields: of each product's request, as texts.
 * Returns the job's id.
 */
export async function submitJob(products, fields, signal) {
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
  const answer = await send("POST", JOBS, { fields: form, signal });
  return (await reach(() => answer.json())).id;
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

/** Stop a job; one that has ended meanwhile stays as it is. */
export async function cancelJob(id) {
  await send("POST", `${JOBS}/${id}/cancel`);
}
