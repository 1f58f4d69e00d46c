// A picture file becomes what the page works on: scaled down, upright, without metadata.

import { APIError } from "./errors.js";

export const MAX_SIDE = 2048; // pixels; more would only make uploads slow
const LOSSLESS_PIXELS = 1.5e6; // a PNG of up to so many is small enough to send

/** A canvas of the given size, and its context; readOften: its pixels are read often. */
export function sheet(width, height, readOften = false) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: readOften });
  context.imageSmoothingQuality = "high";
  return { canvas, context };
}

/**
 * Read a picture file.
 * Returns {canvas, width, height, alpha}: canvas is opaque; alpha is a canvas with the file's own transparency, or null.
 */
export async function readPhoto(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file); // upright: EXIF's orientation is applied
  } catch {
    throw new APIError("This file can't be opened as a picture. Use a PNG, JPEG or WebP, and a smaller one if it is very large.");
  }
  const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const { canvas, context } = sheet(width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return { canvas, width, height, alpha: takeAlpha(canvas, context) };
}

/** The bytes to send: PNG if small, else a JPEG. */
export function encoded({ canvas, width, height }) {
  return width * height <= LOSSLESS_PIXELS ? toBlob(canvas, "image/png") : toBlob(canvas, "image/jpeg", 0.95);
}

/** A canvas as a Blob. */
export function toBlob(canvas, type, quality) {
  return new Promise((done, fail) => {
    canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("The browser couldn't write the picture."))), type, quality);
  });
}

// Moves the transparency out of the picture. Colours of half-transparent pixels stay as they are, so that an
// edge keeps no fringe of a ground it never stood on; what is wholly transparent has no colour and becomes white.
function takeAlpha(canvas, context) {
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const { data } = pixels;
  let transparent = false;
  for (let i = 3; i < data.length && !transparent; i += 4) transparent = data[i] < 255;
  if (!transparent) return null;

  const own = sheet(canvas.width, canvas.height);
  own.context.drawImage(canvas, 0, 0);
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] === 0) data.fill(255, i, i + 3);
    data[i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return own.canvas;
}
