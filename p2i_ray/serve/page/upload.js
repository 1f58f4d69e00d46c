// Uploading a photo: chosen, taken with the camera, dropped, or pasted.

const find = (id) => document.getElementById(id);

/** Call accept(file) with every image file that the person gives. */
export function onPhoto(accept) {
  for (const input of [find("file"), find("camera")]) {
    input.addEventListener("change", () => {
      const [file] = input.files;
      input.value = ""; // the same file may be chosen again
      if (file) accept(file);
    });
  }
  document.addEventListener("paste", ({ clipboardData }) => take(clipboardData.files, accept));
  acceptDrops(accept);
}

// Anywhere on the page: a photo dropped next to the field would otherwise replace the page.
function acceptDrops(accept) {
  const mark = (over) => document.body.classList.toggle("dropping", over);
  const withFiles = (act) => (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    act(event);
  };
  document.addEventListener("dragover", withFiles(() => mark(true)));
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) mark(false); });
  document.addEventListener("drop", withFiles(({ dataTransfer }) => {
    mark(false);
    take(dataTransfer.files, accept);
  }));
}

function take(files, accept) {
  const list = [...files];
  const file = list.find(({ type }) => type.startsWith("image/")) ?? list[0];
  if (file) accept(file);
}
