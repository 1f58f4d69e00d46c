// Earlier results, kept in this browser alone (IndexedDB); where the browser keeps nothing, there are none.

import { count } from "./words.js";

const MOST = 20; // results
const [DATABASE, STORE] = ["product2img", "results"];
const find = (id) => document.getElementById(id);

/** The list of earlier results. */
export class History {
  /** show(result): a result is chosen; say(text) announces. */
  constructor({ show, say }) {
    Object.assign(this, { show, say, urls: [], database: opened() });
    find("history").addEventListener("toggle", () => this.draw());
    find("history-clear").addEventListener("click", () => this.clear());
    this.reveal();
  }

  /** Keep a result, as it is shown. */
  async keep(result) {
    await this.change((store) => store.add({ ...result, when: Date.now() }));
    const keys = await this.read((store) => store.getAllKeys());
    for (const key of keys.slice(0, -MOST)) await this.change((store) => store.delete(key));
    await this.reveal();
  }

  /** Forget them all. */
  async clear() {
    await this.change((store) => store.clear());
    await this.reveal();
    this.say("The earlier results are deleted");
    find("photo-title").focus();
  }

  async reveal() {
    const number = await this.read((store) => store.count(), 0);
    find("history").hidden = !number;
    await this.draw();
  }

  async draw() {
    this.urls.splice(0).forEach((url) => URL.revokeObjectURL(url));
    find("history-list").replaceChildren();
    if (!find("history").open) return;
    const results = await this.read((store) => store.getAll());
    find("history-list").replaceChildren(...results.reverse().map((result) => this.entry(result)));
  }

  entry(result) {
    const row = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button" });
    const src = URL.createObjectURL(result.pictures[0].blob);
    this.urls.push(src);
    const when = new Date(result.when).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    const words = document.createElement("span");
    words.append(Object.assign(document.createElement("b"), { textContent: result.name }));
    words.append(Object.assign(document.createElement("small"), { textContent: `${count(result.pictures.length)}, ${when}` }));
    button.append(Object.assign(document.createElement("img"), { src, alt: "" }), words);
    button.addEventListener("click", () => this.show(result));
    row.append(button);
    return row;
  }

  async read(ask, without = []) {
    const database = await this.database;
    return database ? answered(ask(database.transaction(STORE, "readonly").objectStore(STORE)), without) : without;
  }

  async change(act) {
    const database = await this.database;
    if (database) await answered(act(database.transaction(STORE, "readwrite").objectStore(STORE)), null);
  }
}

// The database, or null where the browser keeps none, as in some private windows.
async function opened() {
  let request;
  try {
    request = indexedDB.open(DATABASE, 1);
  } catch (error) {
    if (error instanceof DOMException) return null;
    throw error;
  }
  request.addEventListener("upgradeneeded", () => request.result.createObjectStore(STORE, { autoIncrement: true }));
  return answered(request, null);
}

// The answer to a request, or what stands for it where the browser refuses, for example because the disk is full.
function answered(request, without) {
  return new Promise((done) => {
    request.addEventListener("success", () => done(request.result));
    request.addEventListener("error", (event) => { event.preventDefault(); done(without); });
    request.addEventListener("blocked", () => done(without));
  });
}
