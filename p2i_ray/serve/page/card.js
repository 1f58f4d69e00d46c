// The card of one painted picture: what the judge says, whether the product is unchanged, the figures behind that.

import { figures, verdict } from "./verdict.js";

const SIGNS = { good: "✓ ", bad: "! ", plain: "" };

/** picture: as api.paint gives it; src and alt: of its image; chosen(): it was. */
export function cardOf(picture, { src, alt, number, chosen }) {
  const card = document.querySelector("#pick").content.firstElementChild.cloneNode(true);
  const part = (selector) => card.querySelector(selector);
  Object.assign(part("img"), { src, alt });
  part("img").addEventListener("load", ({ target }) => target.classList.toggle("tiny", target.naturalWidth < 200));
  part("input").addEventListener("change", chosen);
  opinion(part(".opinion"), picture);
  truth(part(".verdict"), picture);
  standIn(part(".stand-in"), picture);
  const rows = figures(picture.truth, picture.seed);
  part(".figures").hidden = !rows.length;
  part(".which").textContent = ` of picture ${number}`;
  part("dl").append(...rows.map(([name, value]) => {
    const row = document.createElement("div");
    row.append(element("dt", name), element("dd", value));
    return row;
  }));
  return card;
}

// The judge's reason comes first: a score by itself would praise a picture whose reason finds fault with it.
function opinion(place, { score, reason }) {
  place.hidden = !reason && score === null;
  place.querySelector(".reason").textContent = reason ?? "";
  place.querySelector(".score").textContent = score === null ? "" : `${score.toFixed(1)} of 5`;
}

function truth(place, picture) {
  const { text, tone } = verdict(picture.truth, picture.format);
  place.hidden = !text;
  place.classList.add(tone);
  place.querySelector(".sign").textContent = SIGNS[tone];
  place.querySelector(".line").textContent = text;
}

function standIn(place, { paintedAs = null }) {
  place.hidden = paintedAs === null;
  if (paintedAs !== null) place.textContent = `Painted as “${paintedAs}”: the server hasn't learned this category.`;
}

function element(tag, textContent) {
  return Object.assign(document.createElement(tag), { textContent });
}
