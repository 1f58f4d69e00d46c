// What a request may say beside the photo and the name: which pictures, their shape, format and seed.

const MOST_SEED = 2 ** 53 - 1; // as the server takes them
const WIDEST = 3; // width by height of an automatic shape
const NOTES = {
  any: "Each picture says whether your product is unchanged in it.",
  faultless: "Only pictures in which your product is measured to be unchanged. Others are painted anew, which takes longer.",
  approved: "Only pictures in which your product is unchanged and the judge finds no flaw. That takes longest.",
};
const find = (id) => document.getElementById(id);

/** The form's choices. The server says, in attributes of the page's body, which of them it offers. */
export class Choices {
  /** say(text) announces; sent(): width by height of the picture whose shape an automatic one follows. */
  constructor(say, sent) {
    const { dataset } = document.body;
    this.sent = sent;
    this.shapes = JSON.parse(dataset.shapes ?? "[]"); // width by height, where the server paints these alone of itself
    this.marketplaces = JSON.parse(dataset.marketplaces ?? "{}");
    this.judged = "judged" in dataset;
    if (!this.judged) find("approved").remove();
    find("category-field").hidden = !("byCategory" in dataset);
    const known = JSON.parse(dataset.categories ?? "[]");
    find("categories").append(...known.map((name) => new Option(name)));
    this.offerMarketplaces(Object.keys(this.marketplaces));
    find("accept-note").textContent = NOTES[this.accept];
    find("accept").addEventListener("change", () => {
      find("accept-note").textContent = NOTES[this.accept];
      say(NOTES[this.accept]);
    });
  }

  /** Which pictures are wanted: "any", "faultless" or "approved". */
  get accept() {
    return document.querySelector("input[name=accept]:checked").value;
  }

  /** What the chosen marketplace takes, {aspect, share, margin}, or null. */
  get marketplace() {
    return this.marketplaces[find("marketplace").value] ?? null;
  }

  /** Width by height of the pictures that are asked for. */
  get aspect() {
    if (this.marketplace) return this.marketplace.aspect;
    if (find("size").value === "auto") return this.automatic(this.sent());
    const [width, height] = find("size").value.split(":");
    return width / height;
  }

  /** What is wrong with them, {text, field}, or null. */
  fault() {
    const seed = find("seed").value.trim();
    if (!seed || (/^\d{1,16}$/.test(seed) && Number(seed) <= MOST_SEED)) return null;
    return { text: "The seed is a whole number, or empty for new pictures each time.", field: find("seed") };
  }

  /**
   * The request's fields, only those that say something. count: pictures wanted; candidates: of which they are the best;
   * anew: not with the seed that is set.
   */
  fields({ count, candidates = count, anew = false }) {
    const fields = { n: count };
    if (!this.marketplace) fields.output_format = find("format").value; // else the one that the place takes
    if (fields.output_format === "webp") fields.output_compression = 100; // which loses nothing
    if (this.judged) fields.best_of = candidates; // with n of them, every picture is judged and comes with its score
    if (this.accept !== "any") fields.accept = this.accept;
    const seed = find("seed").value.trim();
    if (seed && !anew) fields.seed = seed;
    if (this.marketplace) fields.marketplace = find("marketplace").value;
    else if (find("size").value !== "auto") fields.size = find("size").value;
    const category = find("category").value.trim();
    if (category) fields.category = category;
    return fields;
  }

  // As the server has it: the nearest of its own shapes, or the picture's, within its bounds.
  automatic(aspect) {
    const apart = (shape) => Math.abs(Math.log(shape / aspect));
    if (this.shapes.length) return this.shapes.reduce((one, other) => (apart(other) < apart(one) ? other : one));
    return Math.min(Math.max(aspect, 1 / WIDEST), WIDEST);
  }

  offerMarketplaces(names) {
    find("marketplace-field").hidden = !names.length;
    find("marketplace").append(...names.map((name) => new Option(name, name)));
    find("marketplace").addEventListener("change", ({ target }) => { // which sets the shape and the format
      find("size").disabled = find("format").disabled = Boolean(target.value);
      find("size").dispatchEvent(new Event("change"));
    });
  }
}
