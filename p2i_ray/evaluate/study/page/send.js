// Getting the votes out of the page: a file, the clipboard, or text to select.

const byId = (id) => document.getElementById(id);

function say(text) {
  byId("said").textContent = text;
}

function download(votes) {
  const name = `votes-${data.study}-${votes.rater.replace(/[^\p{L}\p{N}]+/gu, "-")}.json`;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([votes.text], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  votes.unsaved = false;
  say(`Saved as ${name}, where this browser puts downloads.`);
}

async function copy(votes) {
  try {
    await navigator.clipboard.writeText(votes.text);
  } catch {
    byId("text").open = true;
    byId("votes").select();
    if (!document.execCommand("copy")) {
      say("This browser doesn't let a page copy: copy the selected text below.");
      return;
    }
  }
  votes.unsaved = false;
  say("Copied. Paste it into a message.");
}
