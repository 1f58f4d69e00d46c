// The painted pictures: scores and reasons, one chosen, compared and downloaded.

import { Compare } from "./compare.js";

const GOOD = 4; // from this score on, a picture is good (as the judge is asked)
const find = (id) => document.getElementById(id);

/** The page's third part. */
export class Results {
  constructor() {
    this.section = find("results");
    this.compare = new Compare({
      frame: find("compare"), before: find("before"), after: find("after"), slider: find("split"),
    });
    this.urls = [];
  }

  /** Show pictures (as api.paint gives them) of the named product; photo is the Blob they came from. */
  show(pictures, name, photo) {
    this.clear();
    this.before = { src: this.urlOf(photo), alt: `Your photo of ${name}` };
    const judged = pictures.some(({ score }) => score !== null);
    find("results-words").textContent = `${name}: ${count(pictures.length)}`;
    find("picks-legend").textContent = judged ? "Best first, as the judge sees them. Choose one:" : "Choose one:";
    find("picks").append(...pictures.map((picture, index) => this.card(picture, index, name)));
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

  card({ blob, score, reason, seed }, index, name) {
    const card = find("pick").content.firstElementChild.cloneNode(true);
    const part = (selector) => card.querySelector(selector);
    const picture = { src: this.urlOf(blob), alt: `Picture ${index + 1} of ${name}` };
    Object.assign(part("img"), picture);
    part("img").addEventListener("load", ({ target }) => target.classList.toggle("tiny", target.naturalWidth < 200));
    if (score !== null) {
      const chip = Object.assign(part(".score"), { textContent: `${score.toFixed(1)} of 5`, hidden: false });
      chip.classList.toggle("good", score >= GOOD);
    }
    part(".reason").textContent = reason ?? "";
    part("input").addEventListener("change", () => this.choose(picture, `${fileName(name)}-${seed ?? index + 1}.png`));
    return card;
  }

  choose(picture, file) {
    this.compare.show(this.before, picture);
    Object.assign(find("download"), { href: picture.src, download: file });
  }

  urlOf(blob) {
    const url = URL.createObjectURL(blob);
    this.urls.push(url);
    return url;
  }
}

function count(number) {
  const words = ["no picture", "one picture", "two pictures", "three pictures", "four pictures"];
  return words[number] ?? `${number} pictures`;
}

function fileName(name) {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "product";
}
