// The painted pictures: one chosen, compared and downloaded, or all downloaded.

import { cardOf } from "./card.js";
import { Compare } from "./compare.js";
import { save } from "./save.js";
import { verdict } from "./verdict.js";
import { count, fileName, tally } from "./words.js";
import { zip } from "./zip.js";

const SUFFIXES = { png: "png", jpeg: "jpg", webp: "webp" };
const find = (id) => document.getElementById(id);
const isTrue = ({ truth, format }) => verdict(truth, format).tone !== "bad";

/** The page's fourth part. */
export class Results {
  constructor() {
    this.section = find("results");
    this.compare = new Compare({
      frame: find("compare"), before: find("before"), after: find("after"), slider: find("split"),
    });
    Object.assign(this, { urls: [], pictures: [], name: "" });
    find("download-all").addEventListener("click", () => this.saveAll());
  }

  /**
   * Show the pictures of a result: {pictures, painted, refused} as api.paint gives them, {name, photo (Blob), wanted,
   * accept} as they were asked for. Those in which the product is not as it was sent come last, whatever their score.
   * earlier: it was painted before, perhaps from another photo than the page's.
   */
  show({ pictures, painted, refused, name, photo, wanted, accept }, { earlier = false } = {}) {
    this.clear();
    const faithful = pictures.filter(isTrue);
    this.pictures = [...faithful, ...pictures.filter((picture) => !isTrue(picture))];
    this.name = name;
    this.before = { src: this.urlOf(photo), alt: `Your photo of ${name}` };
    find("results-words").textContent = `${name}: ${count(pictures.length)}`;
    find("tally").hidden = accept === "any";
    find("tally").textContent = accept === "any" ? "" : tally({ painted, refused, wanted, shown: pictures.length });
    find("picks-legend").textContent = legend(pictures, faithful.length);
    find("picks").append(...this.pictures.map((picture, index) => this.card(picture, index)));
    find("more").hidden = earlier;
    find("download-all").hidden = pictures.length < 2;
    this.section.hidden = false;
    find("picks").querySelector("input").click();
  }

  /** Take everything away. */
  clear() {
    this.section.hidden = true;
    find("picks").querySelectorAll(".pick").forEach((card) => card.remove());
    this.urls.splice(0).forEach((url) => URL.revokeObjectURL(url));
  }

  /** Bring it to the person's eyes and ears. */
  focus() {
    find("results-title").focus({ preventScroll: true });
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.section.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
  }

  card(picture, index) {
    const shown = { src: this.urlOf(picture.blob), alt: `Picture ${index + 1} of ${this.name}` };
    const chosen = () => this.choose(shown, this.fileOf(picture, index));
    return cardOf(picture, { ...shown, number: index + 1, chosen });
  }

  choose(picture, file) {
    this.compare.show(this.before, picture);
    Object.assign(find("download"), { href: picture.src, download: file });
  }

  fileOf({ seed, format }, index) {
    return `${fileName(this.name)}-${seed ?? index + 1}.${SUFFIXES[format]}`;
  }

  async saveAll() {
    const files = this.pictures.map((picture, index) => ({ name: this.fileOf(picture, index), blob: picture.blob }));
    save(await zip(files), `${fileName(this.name)}.zip`);
  }

  urlOf(blob) {
    const url = URL.createObjectURL(blob);
    this.urls.push(url);
    return url;
  }
}

function legend(pictures, faithful) {
  const judged = pictures.some(({ score }) => score !== null);
  if (!faithful) return "In none of them is your product unchanged. Choose one:";
  if (faithful < pictures.length) {
    return `First those with your product unchanged${judged ? ", the best first as the judge sees them" : ""}. Choose one:`;
  }
  return judged ? "Best first, as the judge sees them. Choose one:" : "Choose one:";
}
