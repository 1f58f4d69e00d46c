// The ways a photo comes in: chosen, taken, dropped, pasted.

const find = (id) => document.getElementById(id);

/** Calls got(file) with every picture file the person gives. */
export function onPhoto(got) {
  for (const input of [find("file"), find("camera")]) {
    input.addEventListener("change", () => {
      const [file] = input.files;
      input.value = ""; // the same file may be chosen again
      if (file) got(file);
    });
  }
  document.addEventListener("paste", ({ clipboardData }) => take(clipboardData.files, got));
  acceptDrops(got);
}

// Anywhere on the page: a photo dropped beside the field would otherwise replace the page.
function acceptDrops(got) {
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
    take(dataTransfer.files, got);
  }));
}

function take(files, got) {
  const list = [...files];
  const file = list.find(({ type }) => type.startsWith("image/")) ?? list[0];
  if (file) got(file);
}
