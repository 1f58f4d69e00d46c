// Where the product stands in the frame: as in the photo, or dragged and scaled in a small view of the frame.

import { sheet } from "./photo.js";

const PROBE = 512; // pixels of the longest side of the copy in which the product's box is looked for
const SIDE = 640; // pixels of the view's longest side
const [LEAST, MOST] = [0.05, 0.95]; // of product_share
const STEP = 0.02; // of the frame, a key press
const LEAP = 0.1; // with Shift
const GROWTH = 1.06; // a press of + or -
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const find = (id) => document.getElementById(id);
// Three digits are sent, rounded to what still lies inside of the frame.
const down = (value) => Math.floor(1000 * value + 1e-6) / 1000;
const up = (value) => Math.ceil(1000 * value - 1e-6) / 1000;
const within = (value, least, most) => Math.min(Math.max(value, least), most);

/** The view of the frame. share: of the frame's width or height that the product's box fills, whichever is more. */
export class Placement {
  /**
   * say(text) announces; aspect(): width by height of the frame; preset(): {share, margin} of a marketplace, which
   * places the product by itself, or null.
   */
  constructor({ say, aspect, preset }) {
    Object.assign(this, { say, aspect, preset, photo: null, mask: null, box: null, chosen: null, drag: null });
    this.canvas = find("stage");
    this.context = this.canvas.getContext("2d");
    const on = (event, act) => this.canvas.addEventListener(event, act);
    on("pointerdown", (event) => this.grab(event));
    on("pointermove", (event) => this.follow(event));
    for (const end of ["pointerup", "pointercancel"]) on(end, () => { this.drag = null; });
    on("keydown", (event) => this.key(event));
    find("share").addEventListener("input", ({ target }) => this.place({ share: Number(target.value) / 100 }));
    find("as-photo").addEventListener("click", () => this.reset());
    find("size").addEventListener("change", () => this.update());
    find("choices").addEventListener("toggle", () => this.update());
  }

  /** Take another photo (as readPhoto gives it) and its mask; the product stands as it does there. */
  open(photo, mask) {
    Object.assign(this, { photo, mask, chosen: null });
    this.update();
  }

  /** The cutout or the frame's shape has changed. */
  update() {
    if (!this.photo || !find("choices").open) return;
    this.box = boxOf(this.mask, this.photo);
    find("placing").hidden = !this.box;
    if (!this.box) return;
    const aspect = this.aspect();
    const size = aspect > 1 ? { width: SIDE, height: SIDE / aspect } : { width: SIDE * aspect, height: SIDE };
    Object.assign(this.canvas, { width: Math.round(size.width), height: Math.round(size.height) });
    this.canvas.style.setProperty("--wide", String(aspect));
    if (this.chosen) this.chosen = this.bounded(this.chosen);
    this.draw();
  }

  /** The request's fields; none: as in the photo. */
  fields() {
    if (!this.chosen) return {};
    const { share, x, y } = this.chosen;
    const [product_x, product_y] = [x, y].map((middle) => (middle < 0.5 ? up(middle) : down(middle)));
    return { placement: "product", product_share: down(share), product_x, product_y };
  }

  /** Where it stands of itself: {share, x, y}, where x and y are the box's middle, in fractions of the frame. */
  original() {
    const preset = this.preset();
    if (preset) return { share: preset.share, x: 0.5, y: 0.5 };
    const { scale, width, height } = this.measures();
    const { photo, box } = this;
    const middle = (start, length, whole) => (start + length / 2 - whole / 2) * scale;
    return {
      share: Math.max(width, height),
      x: 0.5 + middle(box.x, box.width, photo.width) / this.aspect(),
      y: 0.5 + middle(box.y, box.height, photo.height),
    };
  }

  // Of the box as the whole photo fits into a frame of height 1: what a pixel of the photo makes, and the fractions.
  measures() {
    const scale = Math.min(this.aspect() / this.photo.width, 1 / this.photo.height);
    return { scale, width: (this.box.width * scale) / this.aspect(), height: this.box.height * scale };
  }

  // Width and height of the box at a share, in fractions of the frame.
  extent(share) {
    const { width, height } = this.measures();
    const factor = share / Math.max(width, height);
    return { width: width * factor, height: height * factor };
  }

  bounded({ share, x, y }) {
    const margin = this.preset()?.margin ?? 0;
    const kept = within(share, LEAST, Math.min(MOST, 1 - 2 * margin));
    const { width, height } = this.extent(kept);
    const middle = (value, length) => {
      const least = Math.min(0.5, margin + length / 2);
      return within(value, least, 1 - least);
    };
    const longest = { x: width + this.unsure("width", width, height), y: height + this.unsure("height", height, width) };
    return { share: kept, x: middle(x, longest.x), y: middle(y, longest.y) };
  }

  // The box is known to a pixel of the copy; the longer side is as long as the share says.
  unsure(side, length, other) {
    const longer = length > other || (length === other && side === "width");
    return longer ? 0 : (length * 2 * this.box.pixel) / this.box[side];
  }

  place(change) {
    if (!this.box) return;
    this.chosen = this.bounded({ ...this.original(), ...this.chosen, ...change });
    this.draw();
  }

  reset() {
    this.chosen = null;
    this.draw();
    this.say(this.preset() ? "The product stands in the middle" : "The product stands as in the photo");
  }

  draw() {
    const { canvas, context, photo, mask, box } = this;
    const { share, x, y } = this.chosen ?? this.original();
    const { width, height } = this.extent(share);
    const to = [(x - width / 2) * canvas.width, (y - height / 2) * canvas.height, width * canvas.width, height * canvas.height];
    const from = [box.x, box.y, box.width, box.height];
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.globalCompositeOperation = "source-over";
    context.drawImage(mask.canvas, ...from, ...to);
    context.globalCompositeOperation = "source-in";
    context.drawImage(photo.canvas, ...from, ...to);
    context.globalCompositeOperation = "source-over";
    find("share").value = String(Math.round(100 * share));
    find("share").setAttribute("aria-valuetext", `fills ${Math.round(100 * share)} % of the frame`);
    find("as-photo").disabled = !this.chosen;
    find("as-photo").textContent = this.preset() ? "In the middle" : "As in the photo";
  }

  // ---- finger, pen, mouse, keys

  grab(event) {
    if (event.button !== 0 || !event.isPrimary || !this.box) return;
    this.canvas.setPointerCapture(event.pointerId);
    const { x, y } = this.chosen ?? this.original();
    this.drag = { x, y, clientX: event.clientX, clientY: event.clientY };
  }

  follow(event) {
    if (!this.drag || !event.isPrimary) return;
    const { clientWidth, clientHeight } = this.canvas;
    const { x, y, clientX, clientY } = this.drag;
    this.place({ x: x + (event.clientX - clientX) / clientWidth, y: y + (event.clientY - clientY) / clientHeight });
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !this.box) return;
    const { share, x, y } = this.chosen ?? this.original();
    const arrow = ARROWS[event.key];
    const far = event.shiftKey ? LEAP : STEP;
    if (arrow) this.place({ x: x + arrow[0] * far, y: y + arrow[1] * far });
    else if (event.key === "+" || event.key === "=") this.place({ share: share * GROWTH });
    else if (event.key === "-") this.place({ share: share / GROWTH });
    else return;
    event.preventDefault();
    this.say(this.whereabouts());
  }

  whereabouts() {
    const [share, x, y] = Object.values(this.chosen).map((value) => Math.round(100 * value));
    return `${x} % across, ${y} % down, fills ${share} % of the frame`;
  }
}

// The product's box in a photo, in its pixels, or null where there is no product.
function boxOf(mask, photo) {
  const scale = Math.min(1, PROBE / Math.max(photo.width, photo.height));
  const [width, height] = [photo.width, photo.height].map((side) => Math.max(1, Math.round(side * scale)));
  const { context } = sheet(width, height, true);
  context.drawImage(mask.canvas, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const [xs, ys] = [[width, -1], [height, -1]];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (data[4 * (y * width + x) + 3] < 128) continue;
      if (x < xs[0]) xs[0] = x;
      if (x > xs[1]) xs[1] = x;
      if (y < ys[0]) ys[0] = y;
      if (y > ys[1]) ys[1] = y;
    }
  }
  if (xs[1] < 0) return null;
  const [across, down] = [photo.width / width, photo.height / height];
  return { pixel: Math.max(across, down), x: xs[0] * across, y: ys[0] * down, width: (xs[1] - xs[0] + 1) * across, height: (ys[1] - ys[0] + 1) * down };
}
