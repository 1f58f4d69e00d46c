// Before and after in one frame, parted by a slider.

/** frame holds two pictures and a handle; slider is the input that says where they part, 0 to 100. */
export class Compare {
  constructor({ frame, before, after, slider }) {
    Object.assign(this, { frame, before, after, slider });
    slider.addEventListener("input", () => this.part());
    frame.addEventListener("pointerdown", (event) => this.grab(event));
    frame.addEventListener("pointermove", (event) => { if (frame.hasPointerCapture(event.pointerId)) this.follow(event); });
    after.addEventListener("load", () => {
      frame.classList.toggle("tiny", after.naturalWidth < 200);
      frame.parentElement.style.setProperty("--wide", String(after.naturalWidth / after.naturalHeight));
    });
    this.part();
  }

  /** Show two pictures: {src, alt} each. */
  show(before, after) {
    Object.assign(this.before, before);
    Object.assign(this.after, after);
  }

  part() {
    const at = Number(this.slider.value);
    this.frame.style.setProperty("--at", `${at}%`);
    this.slider.setAttribute("aria-valuetext", `${at} % before, ${100 - at} % after`);
  }

  grab(event) {
    if (event.button !== 0) return;
    this.frame.setPointerCapture(event.pointerId);
    this.follow(event);
  }

  follow(event) {
    const box = this.frame.getBoundingClientRect();
    this.slider.value = String(Math.round((100 * (event.clientX - box.left)) / box.width));
    this.part();
  }
}
