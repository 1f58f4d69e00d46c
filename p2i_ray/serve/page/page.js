// The page: makes a cutout of a photo, and images of the cutout and a name.

import { NONE_ACCEPTED, cutOut, onTokenWanted, paint } from "./api.js";
import { Brush } from "./brush.js";
import { Choices } from "./choices.js";
import { History } from "./history.js";
import { Mask } from "./mask.js";
import { encoded, readPhoto } from "./photo.js";
import { Placement } from "./placement.js";
import { Products } from "./products.js";
import { Results } from "./results.js";
import { SAMPLE_NAME, sample } from "./sample.js";
import { Style } from "./style.js";
import { Task } from "./task.js";
import { askForToken } from "./token.js";
import { onPhoto } from "./upload.js";

const COUNT = 4; // pictures a request
const EMPTY = 0.0005; // a fraction of the picture below which there is no product, or no background

const find = (id) => document.getElementById(id);
const say = (text) => { // a screen reader ignores a repeated text: a blank makes it differ
  const { textContent } = find("spoken");
  find("spoken").textContent = textContent === text ? `${text}\u00a0` : text;
};
const tool = () => document.querySelector("input[name=tool]:checked").value;

const cutting = new Task(find("cutting"), say);
const painting = new Task(find("painting"), say, [find("paint"), find("more")]);
const results = new Results();
const style = new Style({ say, changed: () => placement.update() });
const choices = new Choices(say, () => (style.picture || !photo ? 1 : photo.width / photo.height)); // a style is a square
const placement = new Placement({ say, aspect: () => choices.aspect, preset: () => choices.marketplace });
const products = new Products({
  say,
  fault: () => choices.fault(),
  fields: () => choices.fields({ count: 1, candidates: COUNT }),
});
const history = new History({
  say,
  show: (result) => {
    results.show(result, { earlier: true });
    results.focus();
  },
});
const brush = new Brush(
  { canvas: find("cutout"), cursor: find("cursor"), size: find("brush-size"), tool },
  { say, changed: () => showState() },
);
let photo = null; // as readPhoto gives it
let mask = null;

onTokenWanted(askForToken);
products.resume();
onPhoto({ accept: open, acceptMany: (files) => products.add(files), acceptStyle: (file) => style.open(file) });

// ---- the photo and its cutout

function open(file) {
  openOf(async () => file);
}

function openSample() {
  openOf(sample);
  find("name").value ||= SAMPLE_NAME;
}

function openOf(file) {
  cutting.run("Opening the photo…", async () => readPhoto(await file()), (read) => {
    photo = read;
    mask = new Mask(photo.width, photo.height);
    mask.fill(true);
    brush.open(photo, mask);
    results.clear();
    painting.cancel({ told: false }); // what is told is the new photo
    painting.clear();
    find("drop").hidden = true;
    find("mend-note").hidden = true;
    find("bench").hidden = find("tools").hidden = false;
    find("own").hidden = !photo.alpha;
    find("photo-title").focus({ preventScroll: true }); // the focused element is gone
    if (photo.alpha) takeOwn();
    else recut();
    mask.forget();
    placement.open(photo, mask);
    showState();
  });
}

function recut() {
  const cut = { photo, mask };
  cutting.run("Cutting the product out…", async (signal) => {
    const png = await cutOut(await encoded(cut.photo), signal);
    return createImageBitmap(png);
  }, (cutout) => {
    if (cut.mask !== mask) return; // another photo was opened meanwhile
    mask.take(cutout);
    changed("The product is cut out");
  });
}

function takeOwn() {
  mask.take(photo.alpha);
  changed("The picture's own transparency is the cutout");
}

function changed(words) {
  brush.draw();
  showState();
  say(`${words}. ${find("covers").textContent}`);
}

function showState() {
  placement.update();
  find("undo").disabled = !mask.undos.length;
  const covered = mask.coverage();
  const share = covered > 0 && covered < 0.01 ? "less than 1" : Math.round(100 * covered);
  find("covers").textContent =
    covered > 1 - EMPTY ? "Nothing is cut away." : `The product covers ${share} % of the picture.`;
  review();
}

function undo() {
  if (mask?.undo()) changed("Undone");
}

find("undo").addEventListener("click", undo);
find("recut").addEventListener("click", recut);
find("own").addEventListener("click", takeOwn);
find("keep").addEventListener("click", () => { mask.fill(true); changed("All is kept"); });
find("clear").addEventListener("click", () => { mask.fill(false); changed("All is erased"); });
find("sample").addEventListener("click", openSample);
find("another").addEventListener("click", () => find("file").click());
for (const input of document.querySelectorAll("input[name=tool]")) input.addEventListener("change", () => brush.draw());
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input[type=text], input[type=password]");
  if (typing || event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  undo();
});

// ---- the name and the pictures

// What keeps the pictures from being asked for, {text, field}, or null.
function fault() {
  const { value } = find("name");
  if (!photo) return { text: "Add a photo first.", field: null };
  if (!value.trim()) return { text: "Type the product's name first.", field: find("name") };
  const text = miscut(mask.coverage());
  return text ? { text, field: null } : choices.fault();
}

function miscut(covered) {
  if (covered < EMPTY) return "The cutout is empty. Cut again, or paint the product with Add.";
  if (covered > 1 - EMPTY) return "The cutout covers the whole picture. Erase the background, or cut again.";
  return "";
}

function refuse({ text, field } = { text: "", field: null }) {
  find("request-error").textContent = text;
  find("request-error").hidden = !text;
  for (const input of [find("name"), find("seed")]) input.setAttribute("aria-invalid", String(input === field));
  if (field?.closest("details")) field.closest("details").open = true;
  field?.focus();
}

// A line that asks for something goes when it is there.
function review() {
  const line = find("request-error");
  if (!line.hidden && line.textContent !== fault()?.text) refuse();
}

// anew: not with the seed that is set, which would give the same pictures.
function submit({ anew = false } = {}) {
  if (painting.running) return;
  const wrong = fault();
  refuse(wrong ?? undefined);
  if (wrong) return;
  const name = find("name").value.trim();
  const chosen = photo;
  painting.run(`Painting four pictures of ${name}…`, async (signal) => {
    const { accept } = choices;
    const fields = { ...choices.fields({ count: COUNT, anew }), ...placement.fields() };
    const [image, cut, reference] = await Promise.all([encoded(chosen), mask.encoded(), style.blob()]);
    const painted = await paint({ photo: image, mask: cut, name, reference, fields }, signal).catch((error) => {
      anew ||= error.code === NONE_ACCEPTED; // the same seed would give the same again
      throw error;
    });
    return { ...painted, name, photo: image, wanted: COUNT, accept };
  }, (result) => {
    results.show(result);
    results.focus();
    history.keep(result);
    say(`Done: ${find("results-words").textContent}. ${find("tally").textContent}`.trim());
  }, { again: () => submit({ anew }) });
}

find("request").addEventListener("input", review);
find("request").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
find("more").addEventListener("click", () => {
  submit({ anew: true });
  find("request").scrollIntoView({ block: "nearest" });
});
