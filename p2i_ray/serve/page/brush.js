// The brush: finger, pen, mouse or keys draw on the mask; the cutout is shown as it changes.

const GHOST = 0.3; // how much of the cut-away photo shows through while adding
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 0.02; // of the longer side, a key press
const LEAP = 0.1; // with Shift

/**
 * The cutout on its canvas, and the brush on it.
 * controls: {canvas, cursor, size, tool: () => "erase" | "add"}; say(text) announces; changed() follows every change.
 */
export class Brush {
  constructor(controls, { say, changed }) {
    Object.assign(this, controls, { say, changed, mask: null, photo: null, last: null, frame: 0 });
    Object.assign(this, { down: false, drawing: false }); // by key, by pointer
    this.context = this.canvas.getContext("2d");
    const on = (event, act) => this.canvas.addEventListener(event, act);
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", () => this.lift());
    on("pointercancel", () => this.giveUp()); // a second finger: the browser zooms instead
    on("pointerleave", () => { if (!this.drawing) this.cursor.hidden = !this.byKeys(); });
    on("keydown", (event) => this.key(event));
    on("focus", () => { if (this.byKeys()) this.showCursor(); });
    on("blur", () => { this.putUp(); this.cursor.hidden = true; });
    this.size.addEventListener("input", () => this.showCursor());
  }

  /** Show a photo (as readPhoto gives it) through its mask. */
  open(photo, mask) {
    Object.assign(this, { photo, mask, down: false, drawing: false });
    this.at = { x: photo.width / 2, y: photo.height / 2 };
    Object.assign(this.canvas, { width: photo.width, height: photo.height });
    this.canvas.style.setProperty("--wide", String(photo.width / photo.height));
    this.canvas.classList.toggle("tiny", Math.max(photo.width, photo.height) < 200);
    this.draw();
  }

  /** Redraw with the next frame. */
  draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const { context, canvas, photo } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.globalCompositeOperation = "source-over";
    context.drawImage(this.mask.canvas, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.drawImage(photo.canvas, 0, 0);
    if (this.tool() !== "add") return;
    context.globalAlpha = GHOST;
    context.globalCompositeOperation = "destination-over";
    context.drawImage(photo.canvas, 0, 0);
    context.globalAlpha = 1;
  }

  radius() {
    return Math.max(0.5, (Number(this.size.value) / 200) * Math.max(this.canvas.width, this.canvas.height));
  }

  dab(to) {
    this.mask.stroke(this.last ?? to, to, this.radius(), this.tool() === "add");
    this.last = to;
    this.draw();
  }

  finish() {
    this.last = null;
    this.mask.commit();
    this.changed();
  }

  // ---- finger, pen, mouse

  press(event) {
    if (event.button !== 0 || !event.isPrimary || !this.mask) return;
    this.putUp();
    this.canvas.setPointerCapture(event.pointerId);
    this.drawing = true;
    this.at = this.point(event);
    this.dab(this.at);
    this.showCursor();
  }

  move(event) {
    if (!event.isPrimary || !this.mask) return;
    const trail = this.drawing ? event.getCoalescedEvents?.() ?? [] : [];
    for (const one of trail.length ? trail : [event]) {
      this.at = this.point(one);
      if (this.drawing) this.dab(this.at);
    }
    this.showCursor();
  }

  lift() {
    if (!this.drawing) return;
    this.drawing = false;
    this.finish();
  }

  giveUp() {
    if (!this.drawing) return;
    this.lift();
    this.mask.undo();
    this.draw();
    this.changed();
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * this.canvas.width,
      y: ((event.clientY - box.top) / box.height) * this.canvas.height,
    };
  }

  // ---- keys

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !this.mask) return;
    const arrow = ARROWS[event.key];
    if (arrow) this.step(arrow, event.shiftKey ? LEAP : STEP);
    else if (event.key === " ") this.toggle();
    else if (event.key === "Escape") this.putUp();
    else return;
    event.preventDefault();
  }

  byKeys() {
    return this.canvas.matches(":focus-visible");
  }

  step([dx, dy], share) {
    const { width, height } = this.canvas;
    const far = share * Math.max(width, height);
    const within = (value, most) => Math.min(Math.max(value, 0), most - 1);
    this.at = { x: within(this.at.x + dx * far, width), y: within(this.at.y + dy * far, height) };
    if (this.down) this.dab(this.at);
    this.showCursor();
    this.say(this.whereabouts());
  }

  toggle() {
    if (this.down) return this.putUp();
    this.down = true;
    this.dab(this.at);
    this.showCursor();
    this.say(`Brush down, ${this.tool() === "add" ? "adding" : "erasing"}; ${this.whereabouts()}`);
  }

  putUp() {
    if (!this.down) return;
    this.down = false;
    this.finish();
    this.showCursor();
    this.say("Brush lifted");
  }

  whereabouts() {
    const percent = (value, most) => `${Math.round((100 * value) / most)} %`;
    const { x, y } = this.at;
    const place = this.mask.at(this.at) ? "on the product" : "next to the product";
    return `${percent(x, this.canvas.width)} across, ${percent(y, this.canvas.height)} down, ${place}`;
  }

  showCursor() {
    if (!this.mask) return;
    const { clientWidth, clientHeight, offsetLeft, offsetTop } = this.canvas;
    const { style } = this.cursor;
    const scale = clientWidth / this.canvas.width;
    style.width = style.height = `${2 * this.radius() * scale}px`;
    style.left = `${offsetLeft + (this.at.x / this.canvas.width) * clientWidth}px`;
    style.top = `${offsetTop + (this.at.y / this.canvas.height) * clientHeight}px`;
    this.cursor.classList.toggle("down", this.down || this.drawing);
    this.cursor.hidden = false;
  }
}
