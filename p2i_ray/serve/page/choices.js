// What a request may say beside the photo and the name: which pictures, their shape, format and seed.

const MOST_SEED = 2 ** 53 - 1; // as the server takes them
const NOTES = {
  any: "Each picture says whether your product is unchanged in it.",
  faultless: "Only pictures in which your product is measured to be unchanged. Others are painted anew, which takes longer.",
  approved: "Only pictures in which your product is unchanged and the judge finds no flaw. That takes longest.",
};
const find = (id) => document.getElementById(id);

/** The form's choices. The server says, in attributes of the page's body, which of them it offers. */
export class Choices {
  /** say(text) announces. */
  constructor(say) {
    const { dataset } = document.body;
    this.judged = "judged" in dataset;
    if (!this.judged) find("approved").remove();
    find("category-field").hidden = !("byCategory" in dataset);
    this.offerMarketplaces(JSON.parse(dataset.marketplaces ?? "[]"));
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

  /** The file's format. */
  get format() {
    return find("format").value;
  }

  /** Width by height of the pictures that are asked for; the server's own shape is a square. */
  get aspect() {
    const [width, height] = find("size").disabled || find("size").value === "auto" ? [1, 1] : find("size").value.split(":");
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
    const fields = { n: count, output_format: this.format };
    if (this.format === "webp") fields.output_compression = 100; // which loses nothing
    if (this.judged) fields.best_of = candidates; // with n of them, every picture is judged and comes with its score
    if (this.accept !== "any") fields.accept = this.accept;
    const seed = find("seed").value.trim();
    if (seed && !anew) fields.seed = seed;
    if (find("marketplace").value) fields.marketplace = find("marketplace").value;
    else if (find("size").value !== "auto") fields.size = find("size").value;
    const category = find("category").value.trim();
    if (category) fields.category = category;
    return fields;
  }

  offerMarketplaces(names) {
    find("marketplace-field").hidden = !names.length;
    find("marketplace").append(...names.map((name) => new Option(name, name)));
    find("marketplace").addEventListener("change", ({ target }) => { // which sets the shape
      find("size").disabled = Boolean(target.value);
      find("size").dispatchEvent(new Event("change"));
    });
  }
}
