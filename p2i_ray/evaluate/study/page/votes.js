// The study, who answers, and the votes: kept in this browser where it lets us, else in the page alone.

const data = JSON.parse(document.getElementById("study").textContent);
const CHOICES = ["left", "none", "right"];
const place = `p2i-study-${data.study}`;

/** Two numbers-from-text steps (xmur3, mulberry32): the same text gives the same numbers from 0 to 1. */
function numbers(text) {
  let h = 1779033703 ^ text.length;
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 3432918353);
    h = (h << 13) | (h >>> 19);
  }
  return () => {
    h = (h + 0x6d2b79f5) | 0;
    let t = Math.imul(h ^ (h >>> 15), h | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** The questions in a rater's own order, so that nobody's tiredness falls on the same pairs. */
function ordered(rater) {
  const draw = numbers(`${data.study} ${rater.toLowerCase()}`);
  const found = [...data.questions];
  for (let i = found.length - 1; i > 0; i--) {
    const j = Math.floor(draw() * (i + 1));
    [found[i], found[j]] = [found[j], found[i]];
  }
  return found;
}

/** What the browser kept: the last rater, and each rater's answers by question and criterion. */
function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(place));
    return { last: String(found.last), raters: new Map(found.raters) };
  } catch {
    return { last: "", raters: new Map() };
  }
}

/** Whether this browser keeps anything; some don't for a file, or when told not to. */
let keeps = (() => {
  try {
    localStorage.setItem(`${place}-try`, "1");
    localStorage.removeItem(`${place}-try`);
    return true;
  } catch {
    return false;
  }
})();

const known = new Map(data.questions.map((one) => [one.id, one]));

/** A rater's answers: for each question a list with a choice, or null, for each criterion. */
class Votes {
  constructor(rater) {
    this.rater = rater;
    this.unsaved = false;
    this.answers = new Map(data.questions.map((one) => [one.id, data.criteria.map(() => null)]));
    this.read();
  }

  /** Take what is kept of this rater, also by another tab, for what isn't answered here. */
  read() {
    const own = kept().raters.get(this.rater);
    if (!Array.isArray(own)) return;
    for (const [id, choices] of own) {
      if (!known.has(id) || !Array.isArray(choices)) continue;
      const here = this.answers.get(id);
      here.forEach((choice, i) => { if (choice === null && CHOICES.includes(choices[i])) here[i] = choices[i]; });
    }
  }

  choose(id, criterion, choice) {
    this.answers.get(id)[criterion] = choice;
    this.unsaved = true;
    this.write();
  }

  write() {
    this.read();
    const { raters } = kept();
    raters.set(this.rater, [...this.answers].filter(([, choices]) => choices.some((one) => one !== null)));
    try {
      localStorage.setItem(place, JSON.stringify({ last: this.rater, raters: [...raters] }));
    } catch {
      keeps = false; // its room is full, maybe: the page keeps them, and asks before it is closed
    }
  }

  isComplete(id) {
    return this.answers.get(id).every((choice) => choice !== null);
  }

  get complete() {
    return data.questions.filter((one) => this.isComplete(one.id)).length;
  }

  /** The file that is sent back. */
  get text() {
    const votes = [];
    for (const [question, choices] of this.answers) {
      choices.forEach((choice, i) => {
        if (choice !== null) votes.push({ question, criterion: data.criteria[i].name, choice });
      });
    }
    return JSON.stringify({ format: "study-votes", version: 1, study: data.study, rater: this.rater, votes }, null, 1);
  }
}
