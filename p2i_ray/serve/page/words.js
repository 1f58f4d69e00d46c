// Numbers and names as the page writes them.

/** "four pictures" */
export function count(number) {
  const words = ["no picture", "one picture", "two pictures", "three pictures", "four pictures"];
  return words[number] ?? `${number} pictures`;
}

/** "6 painted, 2 refused: grown product (2)." refused: {reason: times}; one picture may have several reasons. */
export function tally({ painted, refused, wanted, shown }) {
  const reasons = listed(refused);
  const fewer = shown < wanted ? " No more are painted for one request." : "";
  if (!reasons) return `${painted} painted, none refused.${fewer}`;
  return `${painted} painted, ${painted - shown} refused: ${reasons}.${fewer}`;
}

/** A file's name of a product's. */
export function fileName(name) {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "product";
}

function listed(refused) {
  return Object.entries(refused).sort(([, a], [, b]) => b - a).map(([reason, times]) => `${reason} (${times})`).join(", ");
}
