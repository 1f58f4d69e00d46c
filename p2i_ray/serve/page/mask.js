// The cutout's mask: opaque where the product is. Strokes, whole-mask actions, undo.

import { sheet, toBlob } from "./photo.js";

const MOST_UNDOS = 30;
const PROBE = 64; // side of the small copy that coverage is measured on

/** The mask of one photo, a canvas of the photo's size. */
export class Mask {
  constructor(width, height) {
    Object.assign(this, { width, height, undos: [], box: null, ...sheet(width, height), point: sheet(1, 1, true) });
    this.before = sheet(width, height, true); // the mask as it was before the stroke that is being drawn
  }

  /** Take another picture's alpha, of any size, scaled to this one. */
  take(image) {
    this.whole(() => {
      this.context.globalCompositeOperation = "copy";
      this.context.drawImage(image, 0, 0, this.width, this.height);
    });
  }

  /** Everything is product, or nothing. */
  fill(kept) {
    this.whole(() => {
      this.context.globalCompositeOperation = kept ? "source-over" : "destination-out";
      this.context.fillRect(0, 0, this.width, this.height);
    });
  }

  /** A stroke of a round brush from one point to another, in pixels of the photo. */
  stroke(from, to, radius, kept) {
    const { context } = this;
    context.globalCompositeOperation = kept ? "source-over" : "destination-out";
    Object.assign(context, { lineCap: "round", lineWidth: 2 * radius });
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    context.stroke();
    context.beginPath(); // a line without length is no line, though its caps would be a dot
    context.arc(to.x, to.y, radius, 0, 2 * Math.PI);
    context.fill();
    for (const { x, y } of [from, to]) this.grow(x - radius - 1, y - radius - 1, x + radius + 1, y + radius + 1);
  }

  /** The strokes since the last commit become one step of undo. */
  commit() {
    if (!this.box) return;
    const { x, y, width, height } = this.box;
    if (width > 0 && height > 0) {
      this.undos.push({ x, y, pixels: this.before.context.getImageData(x, y, width, height) });
      if (this.undos.length > MOST_UNDOS) this.undos.shift();
      this.remember(x, y, width, height);
    }
    this.box = null;
  }

  /** Take back the last step; returns whether there was one. */
  undo() {
    this.commit();
    const step = this.undos.pop();
    if (!step) return false;
    this.context.putImageData(step.pixels, step.x, step.y);
    this.remember(step.x, step.y, step.pixels.width, step.pixels.height);
    return true;
  }

  /** What was done so far can't be undone any more. */
  forget() {
    this.undos.length = 0;
  }

  /** The share of the picture that the product covers, 0 to 1. */
  coverage() {
    const { context } = sheet(PROBE, PROBE);
    context.drawImage(this.canvas, 0, 0, PROBE, PROBE);
    const { data } = context.getImageData(0, 0, PROBE, PROBE);
    let sum = 0;
    for (let i = 3; i < data.length; i += 4) sum += data[i];
    return sum / (255 * PROBE * PROBE);
  }

  /** Whether the product is at a point. */
  at({ x, y }) {
    const { context } = this.point;
    context.globalCompositeOperation = "copy";
    context.drawImage(this.canvas, -Math.floor(x), -Math.floor(y));
    return context.getImageData(0, 0, 1, 1).data[3] >= 128;
  }

  /** A PNG, opaque where the product is and transparent where the background is to be painted. */
  encoded() {
    return toBlob(this.canvas, "image/png");
  }

  whole(change) {
    this.commit();
    change();
    this.grow(0, 0, this.width, this.height);
    this.commit();
  }

  grow(left, top, right, bottom) {
    const old = this.box;
    const x = Math.max(0, Math.floor(Math.min(left, old ? old.x : left)));
    const y = Math.max(0, Math.floor(Math.min(top, old ? old.y : top)));
    const end = { x: old ? old.x + old.width : right, y: old ? old.y + old.height : bottom };
    const width = Math.min(this.width, Math.ceil(Math.max(right, end.x))) - x;
    const height = Math.min(this.height, Math.ceil(Math.max(bottom, end.y))) - y;
    this.box = { x, y, width, height };
  }

  remember(x, y, width, height) {
    const { context } = this.before;
    context.clearRect(x, y, width, height);
    context.drawImage(this.canvas, x, y, width, height, x, y, width, height);
  }
}
