// The reference: a picture in whose style is painted. Only a server that can do that shows its field.

import { APIError } from "./errors.js";
import { encoded, readPhoto, sheet } from "./photo.js";

const MAX_SIDE = 1024; // pixels; it is made as small as the painted picture anyway
const find = (id) => document.getElementById(id);

/** Whether an element lies in the reference's field. */
export function inStyle(element) {
  return Boolean(element?.closest?.("#style"));
}

/** The field "In the style of". */
export class Style {
  /** say(text) announces; changed(): there is another picture, or none. */
  constructor({ say, changed }) {
    Object.assign(this, { say, changed, picture: null, latest: 0 });
    find("style").hidden = !("styled" in document.body.dataset);
    find("style-file").addEventListener("change", ({ target }) => {
      const [file] = target.files;
      target.value = ""; // the same file may be chosen again
      if (file) this.open(file);
    });
    find("style-remove").addEventListener("click", () => {
      this.show(null);
      find("style-file").focus();
      this.say("The picture for the style is removed");
    });
  }

  /** Take a picture file; its middle square is kept, which is the shape that is painted. */
  async open(file) {
    this.latest += 1;
    const mine = this.latest;
    let square = null;
    let fault = "";
    try {
      const photo = await readPhoto(file);
      if (photo.alpha) fault = "This picture has transparent parts, so it shows no scene. Use a whole photo.";
      else square = middle(photo);
    } catch (error) {
      if (!(error instanceof APIError)) throw error;
      fault = error.message;
    }
    if (mine !== this.latest) return; // another one was given meanwhile
    find("style-error").textContent = fault;
    find("style-error").hidden = !fault;
    if (fault) return;
    this.show(square);
    this.say("The picture for the style is there");
  }

  /** The reference to send (Blob), or null. */
  async blob() {
    return this.picture && encoded(this.picture);
  }

  show(picture) {
    this.picture = picture;
    const place = find("style-picture");
    place.replaceChildren();
    if (picture) {
      picture.canvas.setAttribute("role", "img");
      picture.canvas.setAttribute("aria-label", "The picture in whose style is painted");
      place.append(picture.canvas);
    }
    find("style-choose").textContent = picture ? "Choose another" : "Choose a picture";
    find("style-error").hidden = true;
    place.hidden = find("style-remove").hidden = !picture;
    this.changed();
  }
}

function middle({ canvas, width, height }) {
  const shorter = Math.min(width, height);
  const side = Math.min(shorter, MAX_SIDE);
  const square = sheet(side, side);
  const [left, top] = [(width - shorter) / 2, (height - shorter) / 2];
  square.context.drawImage(canvas, left, top, shorter, shorter, 0, 0, side, side);
  return { canvas: square.canvas, width: side, height: side };
}
