// What somebody says of the pictures of this report: kept in this browser, and saved as the file that
// `packshot review --from` takes.

const KEPT = `packshot review: ${report.campaign}, ${report.run_id}`;
const CHOICES = [["accepted", "Accept", "a"], ["rejected", "Reject", "r"]];
const decisions = new Map(kept()); // by the render that stands: the verdict, the take it is of, and a file of that
let judged = null; // what a verdict would be of: the open card, the take of it that is shown, and its file

function kept() {
  try {
    const entries = JSON.parse(localStorage.getItem(KEPT)) ?? [];
    return entries.filter(([render, said]) => render && said.key && said.verdict);
  } catch {
    return []; // nothing of ours, or no storage
  }
}

function keep() {
  try {
    localStorage.setItem(KEPT, JSON.stringify([...decisions]));
  } catch {
    // No storage: they last as long as the page is open.
  }
  showDecisions();
}

function reviewSection(card, row) {
  const isThere = card.kind === "render" && card.status === "delivered" && row.asset_key;
  judged = isThere ? { card, take: row.take ?? 0, key: row.asset_key } : null;
  return isThere ? section("Your verdict", make("div", "choices", ...CHOICES.map(choiceNode))) : "";
}

function choiceNode([verdict, title, key]) {
  const button = make("button", verdict, title);
  button.type = "button";
  button.dataset.verdict = verdict;
  button.setAttribute("aria-keyshortcuts", key);
  button.title = `Key ${key.toUpperCase()}: ${title.toLowerCase()}, and show the next asset`;
  button.addEventListener("click", () => decide(verdict));
  return button;
}

// Another take of the open asset is shown: what is said now is said of that.
function judgeTake({ take, asset_key: key }) {
  if (judged) judged = { ...judged, take, key };
  showChoice();
}

function isSaid(verdict) {
  const said = judged && decisions.get(judged.card.render);
  return Boolean(said && said.verdict === verdict && said.take === judged.take);
}

function decide(verdict) {
  const { card, take, key } = judged;
  if (isSaid(verdict)) decisions.delete(card.render);
  else decisions.set(card.render, { verdict, take, key });
  keep();
  showChoice();
  for (const link of byId("grid").querySelectorAll("a")) markCard(link, cardAt(Number(link.dataset.position)));
}

function decideByKey(pressed) {
  const choice = CHOICES.find(([, , key]) => key === pressed);
  if (!choice || !judged) return;
  if (!isSaid(choice[0])) decide(choice[0]);
  step(1);
}

function showChoice() {
  for (const button of document.querySelectorAll(".choices button")) {
    button.setAttribute("aria-pressed", String(isSaid(button.dataset.verdict)));
  }
}

function markCard(link, card) {
  link?.querySelector(".yours")?.remove();
  const said = isBad(card) ? null : decisions.get(card.render);
  const words = said?.verdict === "accepted" ? "You accept" : "You reject";
  if (said) link?.firstElementChild.append(make("span", `badge yours ${said.verdict}`, words));
}

function showDecisions() {
  const count = (verdict) => [...decisions.values()].filter((said) => said.verdict === verdict).length;
  const both = CHOICES.map(([verdict, title]) => [count(verdict), title.toLowerCase()]);
  const words = both.filter(([many]) => many).map(([many, what]) => `${what} ${numbers.format(many)}`);
  byId("review").hidden = !decisions.size;
  byId("review").firstElementChild.textContent = `You ${words.join(" and ")}.`;
}

function saveDecisions() {
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const lines = [...decisions.values()].map((said) => `${quoted(said.key)},${quoted(said.verdict)}\r\n`);
  const link = make("a", "");
  link.download = "review.csv";
  link.href = URL.createObjectURL(new Blob(["asset_key,verdict\r\n", ...lines], { type: "text/csv" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function forgetDecisions() {
  decisions.clear();
  keep();
  for (const mark of document.querySelectorAll(".yours")) mark.remove();
}
