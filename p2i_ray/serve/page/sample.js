// A product to try the page with: a cutout and its name.

import { APIError } from "./errors.js";

const SAMPLE = "sample.webp"; // relative: the page may live below a prefix
export const SAMPLE_NAME = "Espresso cup, red stoneware";

/** The sample's picture, a Blob. */
export async function sample() {
  let answer;
  try {
    answer = await fetch(SAMPLE, { credentials: "omit", referrerPolicy: "no-referrer" });
  } catch {
    throw new APIError("The server can't be reached. Check that it runs, then try again.");
  }
  if (!answer.ok) throw new APIError(`The server answered ${answer.status} for the sample. Use a photo of your own.`);
  return answer.blob();
}
