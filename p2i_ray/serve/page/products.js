// Several products at once: a list of photos and names, painted as one batch job.

import { APIError } from "./errors.js";
import * as jobs from "./jobs.js";
import { encoded, readPhoto, sheet, toBlob } from "./photo.js";
import { Task } from "./task.js";

const POLL_MS = 1500;
const THUMB = 112; // pixels
const GONE = 404; // the status of a job that was deleted
const UNFINISHED = "unfinished"; // an error's code if the result isn't there yet
const find = (id) => document.getElementById(id);

/** Whether an element lies in the list's section. */
export function inList(element) {
  return Boolean(element?.closest?.("#products"));
}

/** The list. */
export class Products {
  /** say(text) announces; fields(): of each product's request; fault(): what is wrong with them, or null. */
  constructor({ say, fields, fault }) {
    Object.assign(this, { say, fields, fault, list: [], url: null, order: null, adding: Promise.resolve() });
    this.task = new Task(find("products-task"), say, [find("products-paint")]);
    find("products-paint").addEventListener("click", () => this.paint());
    find("products-away").addEventListener("click", () => this.putAway());
    find("products-download").addEventListener("click", () => jobs.keepOrder()); // till then a reload offers it again
    find("products-add").addEventListener("change", ({ target }) => {
      this.add([...target.files]);
      target.value = ""; // the same files may be chosen again
    });
  }

  /** Add picture files behind those that are being added; each gets the name of its file. */
  add(files) {
    this.adding = this.adding.catch(() => {}).then(() => this.addAll(files)); // an earlier failure was reported already
    return this.adding;
  }

  async addAll(files) {
    find("products").hidden = false;
    const failed = [];
    for (const file of files) { // one after the other: a decoded photo takes much memory
      try {
        this.append(await productOf(file));
      } catch (error) {
        if (!(error instanceof APIError)) throw error;
        failed.push(file.name);
      }
    }
    this.refuse(failed.length ? `Can't be opened as pictures: ${failed.join(", ")}. Use PNG, JPEG or WebP.` : "");
    this.showCount();
    find("products-title").focus();
    find("products").scrollIntoView({ block: "nearest" });
  }

  append(product) {
    const row = find("product").content.firstElementChild.cloneNode(true);
    const part = (selector) => row.querySelector(selector);
    part("canvas").getContext("2d").drawImage(product.thumb, 0, 0);
    part("input").value = product.name;
    part("input").addEventListener("input", ({ target }) => {
      product.name = target.value;
      if (target.getAttribute("aria-invalid") === "true" && product.name.trim()) this.refuse(""); // the line asked for it
    });
    part("button").addEventListener("click", () => {
      this.list = this.list.filter((other) => other !== product);
      row.remove();
      this.number();
      this.showCount();
      find("products-title").focus();
    });
    Object.assign(product, { field: part("input"), away: part("button") });
    this.list.push(product);
    find("products-list").append(row);
    this.number();
  }

  // To a screen reader the rows differ by their numbers.
  number() {
    for (const [index, { field, away }] of this.list.entries()) {
      field.setAttribute("aria-label", `Name of product ${index + 1}`);
      away.setAttribute("aria-label", `Remove product ${index + 1}`);
    }
  }

  showCount() {
    const { length } = this.list;
    find("products-words").textContent = ["No product", "One product"][length] ?? `${length} products`;
    this.say(find("products-words").textContent);
  }

  refuse(text, field = null) {
    find("products-error").textContent = text;
    find("products-error").hidden = !text;
    for (const product of this.list) product.field.setAttribute("aria-invalid", String(product.field === field));
    field?.focus();
  }

  paint() {
    if (this.task.running) return;
    const nameless = this.list.find(({ name }) => !name.trim());
    if (!this.list.length) return this.refuse("Add a photo first.");
    if (nameless) return this.refuse("Type the name of every product.", nameless.field);
    const wrong = this.fault();
    if (wrong) return this.refuse(wrong.text);
    this.refuse("");
    this.run();
  }

  /** Go on with the job that ran, or was ordered, when the page was left, if there is one. */
  resume() {
    const kept = jobs.keptOrder();
    if (!kept) return;
    find("products").hidden = false;
    this.order = { ...kept, list: [], text: "" };
    this.run(kept.id);
  }

  // id: of a job that runs already. It is kept when it is tried again: a lost connection doesn't end the job.
  run(id = null) {
    this.forget();
    const work = async (signal) => {
      id ??= await this.submit(signal);
      signal.addEventListener("abort", () => this.abandon(), { once: true });
      try {
        const progress = await this.finished(id, signal);
        return await this.resulting(id, progress, signal);
      } catch (error) {
        if (error.status === GONE) id = this.forgetJob();
        throw error;
      }
    };
    this.task.run("Painting the products…", work, (result) => this.done(result));
  }

  async submit(signal) {
    const products = this.list.map((product) => ({ ...product, name: product.name.trim() }));
    const order = products.length ? this.orderOf(products, this.fields()) : this.order;
    if (order?.id) return order.id;
    const stop = () => this.abandon();
    signal.addEventListener("abort", stop, { once: true });
    order.id = await (this.list.length
      ? jobs.submitJob(order.list, this.fields(), { key: order.key, signal })
      : this.sent(order, signal));
    signal.removeEventListener("abort", stop);
    return order.id;
  }

  // The job of an order that was sent before the page was left. One that is still arriving is called off.
  async sent(order, signal) {
    const id = order?.key ? await jobs.jobOf(order.key, signal) : null;
    if (id) return id;
    this.abandon();
    throw new APIError("The job is not on the server. Add the photos again.");
  }

  // An order whose line was cut may be on the server, with its answer or before: the same one goes on, another one takes
  // its place.
  orderOf(products, fields) {
    const is = ({ list, text }) => text === JSON.stringify(fields) && list.length === products.length
      && list.every(({ image, name }, index) => products[index].image === image && products[index].name === name);
    if (this.order && !is(this.order)) this.abandon();
    this.order ??= { id: null, key: jobs.newKey(), list: products, text: JSON.stringify(fields) };
    return this.order;
  }

  abandon() {
    if (!this.order) return void jobs.keepOrder(); // what is painted is not offered again
    const { id, key } = this.order;
    this.forgetJob();
    (id ? jobs.cancelJob(id) : jobs.cancelOrder(key)).catch((error) => this.refuse(error.message));
  }

  forgetJob() {
    this.order = null;
    jobs.keepOrder();
    return null;
  }

  async finished(id, signal) {
    for (;;) {
      const progress = await jobs.progressOf(id, signal);
      const { status, total, done, failed } = progress;
      const what = status === "paused" ? "The products are paused" : "Painting the products";
      this.task.progress(done + failed, total, `${what}: ${done + failed} of ${total}…`);
      if (status === "completed" || status === "cancelled") return progress;
      await pause(POLL_MS, signal);
    }
  }

  // The result of a job that was cancelled from elsewhere is there when what was being painted is.
  async resulting(id, progress, signal) {
    for (;;) {
      try {
        return { zip: await jobs.resultOf(id, signal), progress: await jobs.progressOf(id, signal) };
      } catch (error) {
        if (error.code !== UNFINISHED || progress.status !== "cancelled") throw error;
      }
      await pause(POLL_MS, signal);
    }
  }

  done({ progress: { done, total }, zip }) {
    this.order = null;
    this.url = URL.createObjectURL(zip);
    const left = total - done; // failed, or cancelled from elsewhere
    const words = left ? `${done} painted, ${left} not: results.csv in the zip says why.` : `All ${done} are painted.`;
    find("products-outcome").textContent = words;
    Object.assign(find("products-download"), { href: this.url, download: "products.zip" });
    find("products-done").hidden = false;
    find("products-download").focus();
    this.say(words);
  }

  forget() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    find("products-done").hidden = true;
  }

  putAway() {
    this.task.cancel();
    this.task.clear();
    this.abandon();
    this.forget();
    this.list = [];
    find("products-list").replaceChildren();
    find("products").hidden = true;
    find("photo-title").focus();
  }
}

async function productOf(file) {
  const photo = await readPhoto(file);
  const scale = THUMB / Math.max(photo.width, photo.height);
  const { canvas: thumb, context } = sheet(THUMB, THUMB);
  const [width, height] = [photo.width * scale, photo.height * scale];
  context.drawImage(photo.canvas, (THUMB - width) / 2, (THUMB - height) / 2, width, height);
  const mask = photo.alpha && await toBlob(photo.alpha, "image/png");
  const name = file.name.replace(/\.\w+$/, "").replace(/[-_]+/g, " ").trim();
  return { name, image: await encoded(photo), mask, thumb };
}

function pause(milliseconds, signal) {
  return new Promise((done, fail) => {
    const clock = setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(clock); fail(signal.reason); }, { once: true });
  });
}
