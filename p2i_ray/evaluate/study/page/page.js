// The page: start, one pair at a time, end.

const WORDS = { left: "Left", none: "No difference", right: "Right" };
const KEYS = { 1: "left", ArrowLeft: "left", 2: "none", 0: "none", 3: "right", ArrowRight: "right" };

let votes = null;
let questions = [];
let at = 0; // place of the shown question
let current = 0; // criterion that the next key answers

function show(section, focus) {
  for (const id of ["start", "ask", "end"]) byId(id).hidden = id !== section;
  window.scrollTo(0, 0);
  focus.focus({ preventScroll: true });
}

const counted = (n) => `${n} ${n === 1 ? "pair" : "pairs"}`;

function begin(event) {
  event.preventDefault();
  const seen = byId("rater").value.replace(/[\p{Cf}\p{Cs}]/gu, "");
  const rater = seen.replace(/[\s\p{Cc}]+/gu, " ").trim();
  const wrong = rater === "";
  byId("rater").setAttribute("aria-invalid", wrong);
  byId("who-error").textContent = wrong ? "Please write a name or a number: it says which votes are yours." : "";
  if (wrong) {
    byId("rater").focus();
    return;
  }
  votes = new Votes(rater);
  questions = ordered(rater);
  const open = questions.findIndex((one) => !votes.isComplete(one.id));
  if (open < 0) showEnd();
  else showQuestion(open);
}

function showQuestion(place) {
  at = place;
  const asked = questions[at];
  byId("place").textContent = `Pair ${at + 1} of ${questions.length}`;
  byId("name").textContent = asked.name;
  byId("cutout").hidden = !asked.cutout;
  if (asked.cutout) byId("cutout").src = data.pictures[asked.cutout];
  for (const side of ["left", "right"]) byId(side).src = data.pictures[asked[side]];
  const open = votes.answers.get(asked.id).indexOf(null);
  current = open < 0 ? 0 : open;
  update();
  show("ask", byId("place"));
}

/** Mark what is chosen, and which criterion is next. */
function update() {
  const asked = questions[at];
  byId("criteria").querySelectorAll("fieldset").forEach((set, i) => {
    set.classList.toggle("current", i === current);
    for (const button of set.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", button.dataset.choice === votes.answers.get(asked.id)[i]);
    }
  });
  byId("progress").max = questions.length;
  byId("progress").value = votes.complete;
  byId("progress").textContent = `${votes.complete} of ${questions.length}`;
  byId("back").disabled = at === 0;
  byId("next").disabled = !votes.isComplete(asked.id);
  byId("next").textContent = at === questions.length - 1 ? "Finish" : "Next";
}

function choose(criterion, choice) {
  const asked = questions[at];
  votes.choose(asked.id, criterion, choice);
  const open = votes.answers.get(asked.id).indexOf(null);
  current = open < 0 ? Math.min(criterion + 1, data.criteria.length) : open;
  update();
  if (open < 0 && current === data.criteria.length) byId("next").focus();
}

function next() {
  if (!votes.isComplete(questions[at].id)) return;
  if (at + 1 < questions.length) {
    showQuestion(at + 1);
    return;
  }
  const open = questions.findIndex((one) => !votes.isComplete(one.id));
  if (open < 0) showEnd();
  else showQuestion(open);
}

function back() {
  if (at > 0) showQuestion(at - 1);
}

function showEnd() {
  const all = votes.complete === questions.length;
  byId("end-title").textContent = all ? "All answered. Thank you!" : `${votes.complete} of ${counted(questions.length)} answered`;
  byId("end-text").textContent = all ? "" : keeps
    ? "You can go on later in this browser with the same name. If you do, send only the last file."
    : "You can go back to the pairs now. Once this page is closed, they begin anew.";
  byId("votes").value = votes.text;
  say("");
  show("end", byId("end-title"));
}

function enlarge(side) {
  byId("whole").src = byId(side).src;
  byId("whole").alt = `${WORDS[side]} picture, enlarged`;
  byId("enlarged").showModal();
}

function press(event) {
  if (byId("ask").hidden || byId("enlarged").open || event.ctrlKey || event.altKey || event.metaKey) return;
  const choice = KEYS[event.key];
  if (choice) {
    event.preventDefault();
    if (!event.repeat && current < data.criteria.length) choose(current, choice);
  } else if (event.key === "Backspace") {
    event.preventDefault();
    back();
  } else if (event.key === "Enter" && !event.target.closest("button")) {
    event.preventDefault();
    if (!event.repeat) next();
  }
}

function makeCriteria() {
  for (const [i, criterion] of data.criteria.entries()) {
    const set = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = criterion.question;
    const buttons = CHOICES.map((choice) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.choice = choice;
      button.textContent = WORDS[choice];
      button.addEventListener("click", () => choose(i, choice));
      return button;
    });
    const row = document.createElement("div");
    row.append(...buttons);
    set.append(legend, row);
    byId("criteria").append(set);
  }
}

function start() {
  byId("count").textContent = counted(data.questions.length);
  const { last, raters } = kept();
  if (raters.has(last)) {
    byId("rater").value = last;
    const done = new Votes(last).complete;
    byId("kept").textContent = `${last} has answered ${done} of ${counted(data.questions.length)} in this browser.`;
    byId("begin").textContent = "Go on";
    byId("rater").addEventListener("input", () => {
      byId("begin").textContent = byId("rater").value.trim() === last ? "Go on" : "Start";
    });
  } else if (!keeps) {
    byId("kept").textContent = "This browser keeps nothing for this page: answer in one go, and save your votes before you close it.";
    byId("kept").className = "warning";
  } else {
    byId("kept").textContent = "Your answers stay in this browser until you save them: you can close the page and go on later.";
  }
}

makeCriteria();
start();
byId("who").addEventListener("submit", begin);
byId("back").addEventListener("click", back);
byId("next").addEventListener("click", next);
byId("stop").addEventListener("click", showEnd);
byId("again").addEventListener("click", () => {
  const open = questions.findIndex((one) => !votes.isComplete(one.id));
  showQuestion(open < 0 ? 0 : open);
});
byId("download").addEventListener("click", () => download(votes));
byId("copy").addEventListener("click", () => copy(votes));
for (const button of document.querySelectorAll(".large")) {
  button.addEventListener("click", () => enlarge(button.dataset.side));
}
document.addEventListener("keydown", press);
window.addEventListener("beforeunload", (event) => {
  if (!keeps && votes?.unsaved) event.preventDefault();
});
