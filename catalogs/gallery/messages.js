// What the page says of errors, and what it copies.

let toast = 0;

function say(text) {
  (dialog.open ? dialog : document.body).append(byId("said"));
  byId("said").textContent = text;
  byId("said").classList.add("shown");
  clearTimeout(toast);
  toast = setTimeout(() => byId("said").classList.remove("shown"), 1800);
}

function tell(problem) {
  byId("notice").textContent = problem;
  byId("notice").hidden = false;
}

async function guarded(action) {
  try {
    byId("notice").hidden = true;
    await action();
  } catch (error) {
    byId("grid").classList.remove("stale");
    tell(error.message);
    if (dialog.open) say(error.message);
  }
}

async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyBySelection(text); // no clipboard without https or permission
  }
  say(done);
}

// A button that copies a text, and says so.
function copyButton(title, label, text, done) {
  const button = make("button", "quiet", title);
  button.type = "button";
  button.setAttribute("aria-label", label);
  button.addEventListener("click", () => copy(text, done));
  return button;
}

function copyBySelection(text) {
  const area = make("textarea", "hidden");
  area.value = text;
  dialog.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
