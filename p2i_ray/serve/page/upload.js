// Uploading a photo: chosen, taken with the camera, dropped, or pasted.

import { inList } from "./products.js";
import { inStyle } from "./style.js";

const find = (id) => document.getElementById(id);

/** Call accept(file) with a picture file that the person gives, acceptMany(files) with several, acceptStyle(file) with the style's. */
export function onPhoto({ accept, acceptMany, acceptStyle }) {
  // Files that a browser takes for no pictures, as HEIC on most systems, go along: the list tells which can't be opened.
  const photos = (files) => (files.length > 1 ? acceptMany([...files]) : take(files, accept));
  const styles = (files) => take(files, acceptStyle);
  for (const input of [find("file"), find("camera")]) {
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = ""; // the same file may be chosen again
      photos(files);
    });
  }
  document.addEventListener("paste", ({ clipboardData, target }) => {
    // A spreadsheet's cell is there as a text and as a picture of it.
    if (target.matches?.("input[type=text]") && clipboardData.types.includes("text/plain")) return;
    (inStyle(document.activeElement) ? styles : photos)(clipboardData.files);
  });
  acceptDrops((files, target) => {
    if (inStyle(target)) styles(files);
    else if (inList(target) && files.length) acceptMany([...files]);
    else photos(files);
  });
}

// Anywhere on the page: a photo dropped next to the field would otherwise replace the page.
function acceptDrops(give) {
  const mark = (over, styled = false) => {
    document.body.classList.toggle("dropping", over && !styled);
    document.body.classList.toggle("dropping-style", over && styled);
  };
  const withFiles = (act) => (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    act(event);
  };
  document.addEventListener("dragover", withFiles(({ target }) => mark(true, inStyle(target))));
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) mark(false); });
  document.addEventListener("drop", withFiles(({ dataTransfer, target }) => {
    mark(false);
    give(dataTransfer.files, target);
  }));
}

function take(files, accept) {
  const file = [...files].find(({ type }) => type.startsWith("image/")) ?? files[0];
  if (file) accept(file);
}
