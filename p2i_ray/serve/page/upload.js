// Uploading a photo: chosen, taken with the camera, dropped, or pasted.

import { inStyle } from "./style.js";

const find = (id) => document.getElementById(id);

/** Call accept(file) with every image file that the person gives, acceptStyle(file) with those for the style's field. */
export function onPhoto(accept, acceptStyle) {
  for (const input of [find("file"), find("camera")]) {
    input.addEventListener("change", () => {
      const [file] = input.files;
      input.value = ""; // the same file may be chosen again
      if (file) accept(file);
    });
  }
  document.addEventListener("paste", ({ clipboardData }) => {
    take(clipboardData.files, inStyle(document.activeElement) ? acceptStyle : accept);
  });
  acceptDrops(accept, acceptStyle);
}

// Anywhere on the page: a photo dropped next to the field would otherwise replace the page.
function acceptDrops(accept, acceptStyle) {
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
    take(dataTransfer.files, inStyle(target) ? acceptStyle : accept);
  }));
}

function take(files, accept) {
  const list = [...files];
  const file = list.find(({ type }) => type.startsWith("image/")) ?? list[0];
  if (file) accept(file);
}
