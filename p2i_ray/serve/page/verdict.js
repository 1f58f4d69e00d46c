// A picture's truth report in words: one line, and the figures behind it.

const EXACT = 0.995; // a product with so many pixels unchanged is told by its colours, not by its pixels
const VISIBLE = 1; // a colour difference (CIEDE2000) below it nobody sees
const LOSSY = { jpeg: "JPEG" }; // formats that alter every pixel a little

const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;

/**
 * One line about a picture's product, and how it is meant: {text, tone}; tone is "good", "bad" or "plain".
 * truth: data[k].truth of an answer; null: the server measured nothing. format: of the file.
 */
export function verdict(truth, format = "png") {
  if (!truth) return { text: "", tone: "plain" };
  if (truth.faultless) return ofFile(truth, LOSSY[format] ?? "The format");
  return { text: truth.faults.map((fault) => (SENTENCES[fault] ?? other)(truth, fault)).join(" "), tone: "bad" };
}

/** Names and values of a report's figures: [[name, value]], those that were measured. */
export function figures(truth, seed) {
  const rows = [
    ["Unchanged pixels", truth?.unchanged, (value) => percent(Math.floor(1000 * value) / 1000, 1)],
    ["Colour difference", truth?.colour, (value) => `${value.toFixed(1)}, ${value < VISIBLE ? "not visible" : "visible"}`],
    ["Unchanged pixels in the file", truth?.file_unchanged, (value) => percent(Math.floor(1000 * value) / 1000, 1)],
    ["Colour difference in the file", truth?.file_colour, (value) => value.toFixed(1)],
    ["Growth", truth?.expansion, (value) => percent(value)],
    ["Step at the outline", truth?.seam, (value) => value.toFixed(1)],
    ["Label before", truth?.text_before, (value) => value || "none"],
    ["Label after", truth?.text_after, (value) => value || "none"],
    ["Seed", seed, String],
  ];
  return rows.filter(([, value]) => value !== null && value !== undefined).map(([name, value, show]) => [name, show(value)]);
}

const SENTENCES = {
  "changed product": ({ unchanged, colour }) => (unchanged !== null && unchanged < EXACT
    ? `Your product is changed (only ${percent(unchanged)} of its pixels are as you sent them).`
    : `Your product is changed (its colours differ by ${colour.toFixed(1)}).`),
  "grown product": ({ expansion }) => `The background adds to the product (+${percent(expansion)}).`,
  "changed label": ({ text_before: before, text_after: after }) => (
    `The label reads differently (${quoted(before)} became ${quoted(after)}).`),
};

const other = (_, fault) => `Fault: ${fault}.`; // of a newer server
const quoted = (text) => (text ? `“${text}”` : "nothing");

// A faultless picture, of which its file may have lost something.
function ofFile({ file_unchanged: kept = null, file_colour: apart = null }, name) {
  if (kept === null || kept >= EXACT) return { text: "Your product is unchanged.", tone: "good" };
  if (apart <= VISIBLE) {
    return { text: `${name} alters your product's pixels a little, which nobody sees. PNG keeps them.`, tone: "plain" };
  }
  return { text: `${name} changes your product's colours (by ${apart.toFixed(1)}). PNG keeps them.`, tone: "plain" };
}
