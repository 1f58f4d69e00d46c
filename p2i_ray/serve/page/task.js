// A task that takes a while: its name and duration, a button to cancel it, and its error with a button to retry.

import { APIError } from "./errors.js";

/** An element of the page that shows one running task at a time. */
export class Task {
  /** place: the element to show it in; say(text) announces; starters: buttons that have no effect while it runs. */
  constructor(place, say, starters = []) {
    const part = document.querySelector("#task").content.firstElementChild.cloneNode(true);
    const find = (selector) => part.querySelector(selector);
    Object.assign(this, { say, starters });
    Object.assign(this, { busy: find(".busy"), failed: find(".failed"), stop: find(".cancel"), retry: find(".retry") });
    Object.assign(this, { what: find(".what"), elapsed: find(".elapsed"), line: find(".error"), bar: find("progress") });
    Object.assign(this, { controller: null, opener: null, clocks: [], again: () => {}, told: true });
    this.stop.addEventListener("click", () => this.cancel());
    this.retry.addEventListener("click", () => this.again());
    place.append(part);
  }

  /** Whether it runs now. */
  get running() {
    return this.controller !== null;
  }

  /** Cancel the running task; that is no failure. told: it is announced. */
  cancel({ told = true } = {}) {
    this.told = told;
    this.controller?.abort();
  }

  /** Say how far the running task is, of how much; what: its new label. */
  progress(done, total, what) {
    Object.assign(this.bar, { max: total, value: done });
    this.what.textContent = what;
  }

  /** Clear the last failure. */
  clear() {
    this.failed.hidden = true;
    this.line.textContent = "";
    this.stopClocks();
  }

  /**
   * Run action(signal) with the label `what`, then done(its result). A task that still runs here is cancelled first.
   * If it fails, the page shows why and a button that runs it again, or calls again() where that is given.
   */
  async run(what, action, done, { again = () => this.run(what, action, done) } = {}) {
    this.cancel();
    const controller = new AbortController();
    this.controller = controller;
    this.begin(what);
    try {
      const result = await action(controller.signal);
      controller.signal.throwIfAborted();
      this.end(controller);
      done(result);
    } catch (error) {
      if (!controller.signal.aborted) this.fail(error, again);
      else if (this.controller === controller && this.told) this.say("Cancelled");
      this.end(controller);
    }
  }

  begin(what) {
    const retried = this.failed.contains(document.activeElement);
    if (!retried) this.opener = document.activeElement;
    this.clear();
    this.what.textContent = what;
    this.bar.removeAttribute("value"); // nobody knows how far it is
    this.busy.hidden = false;
    for (const button of this.starters) button.setAttribute("aria-disabled", "true");
    if (retried) this.stop.focus();
    this.say(what);
    const start = performance.now();
    this.tick(1000, () => { this.elapsed.textContent = `${Math.round((performance.now() - start) / 1000)} s`; });
  }

  // The button that had the focus may be gone now: it goes where one would look next.
  end(controller) {
    if (this.controller !== controller) return;
    this.controller = null;
    for (const button of this.starters) button.removeAttribute("aria-disabled");
    const lost = this.busy.contains(document.activeElement);
    this.busy.hidden = true;
    if (lost) (this.failed.hidden ? this.opener : this.retry)?.focus();
    if (this.failed.hidden) this.stopClocks();
  }

  fail(error, again) {
    this.stopClocks();
    const known = error instanceof APIError;
    if (!known) console.error(error); // a bug of the page: its stack trace belongs in the console
    const wait = known && [429, 503].includes(error.status) ? error.retryAfter : null;
    this.failed.hidden = false;
    const complete = wait === null || error.message.includes(`${wait} s`); // the server's line may name the time itself
    this.line.textContent = complete ? error.message : `${error.message} Try again in ${wait} s.`;
    this.again = again;
    this.countDown(wait ?? 0);
  }

  // Only the button counts down: an alert that changed every second would be read out every second.
  countDown(seconds) {
    const until = performance.now() + 1000 * seconds;
    this.tick(250, () => {
      const left = Math.ceil((until - performance.now()) / 1000);
      this.retry.textContent = left > 0 ? `Try again (in ${left} s)` : "Try again";
      if (left <= 0) this.stopClocks();
    });
  }

  tick(milliseconds, show) {
    this.clocks.push(setInterval(show, milliseconds));
    show();
  }

  stopClocks() {
    this.clocks.splice(0).forEach((clock) => clearInterval(clock));
  }
}
