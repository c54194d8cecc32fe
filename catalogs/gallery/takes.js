// What checks say of a picture, and the takes of it side by side.

const isJudged = (card) => Boolean(card.verdict) || card.score !== null;
const verdictNode = (verdict) => make("span", `badge verdict ${verdict.replaceAll("_", "-")}`, inWords(verdict));
const numberFacts = (row) => row.quality.map(([name, value]) => [inWords(name), rounded(value)]);

// A line under a card: the score as a bar and a number, the verdict in words where it is not that all is well.
function judgedNode(card) {
  const words = card.verdict && card.verdict !== "accepted" ? verdictNode(card.verdict) : "";
  const apart = card.in_set ? make("span", "badge verdict needs-review", "Apart") : "";
  const node = make("span", "judged", scoreNode(card.score), words, apart);
  if (card.detail && card.status !== "failed") node.title = card.detail;
  return node;
}

function scoreNode(score) {
  if (typeof score !== "number") return "";
  const filled = make("span", "");
  filled.style.width = `${100 * Math.min(1, Math.max(0, score))}%`;
  const bar = make("span", score < 0.5 ? "score-bar under" : "score-bar", filled);
  bar.setAttribute("aria-hidden", "true");
  return make("span", "score", bar, make("span", "hidden", "Score "), scoreText(score));
}

// What is worse than its limit, as the record says it.
function faultsNode(row) {
  const faults = (row.detail ?? "").split("; ").filter(Boolean);
  return faults.length ? make("ul", "faults", ...faults.map((fault) => make("li", "", fault))) : null;
}

function checksSection(card, row) {
  if (!isJudged(card)) return "";
  const head = make("div", "judged", scoreNode(card.score), card.verdict ? verdictNode(card.verdict) : "");
  const said = row.detail ? row : (row.takes?.find((take) => take.stands) ?? row);
  const known = facts([["Apart from its set", row.why_apart], ...numberFacts(row)]);
  const made = section("Checks", head, card.status === "failed" ? null : faultsNode(said), known);
  if (row.asset_key) made.firstElementChild.append(copyKey(row.asset_key, "picture"));
  return made;
}

// The name that `packshot review` knows a picture by.
const copyKey = (key, what) =>
  copyButton("Copy key", `Copy the asset key of this ${what}`, key, "Asset key copied");

function takesSection(card, row) {
  if (!row.takes?.length) return "";
  const list = make("ul", "takes");
  list.append(...row.takes.map((take) => takeNode(card, take, list)));
  return section(`Takes (${row.takes.length})`, list);
}

function takeNode(card, take, list) {
  const name = `Take ${take.take}`;
  const button = make("button", "take-picture", takePicture(take, name));
  button.type = "button";
  button.setAttribute("aria-label", `Show ${name.toLowerCase()}`);
  button.setAttribute("aria-pressed", String(take.stands));
  button.disabled = !hasFile(take);
  button.addEventListener("click", () => showTake(card, take, button, list));
  const title = make("p", "take-name", make("strong", "", name), take.stands ? make("span", "badge stands", "Stands") : "");
  const judged = make("p", "judged", scoreNode(take.score), take.verdict ? verdictNode(take.verdict) : "");
  const key = hasFile(take) ? copyKey(take.asset_key, "take") : null;
  const node = make("li", take.stands ? "standing" : "", button, title, judged, becameOf(take), faultsNode(take), key);
  return node;
}

const hasFile = (take) => Boolean(take.asset_key) && !["failed", "missing", "pruned"].includes(take.status);

function takePicture(take, name) {
  if (!take.thumb) return make("span", "no-thumb", hasFile(take) ? name : "No file");
  const image = make("img", "");
  image.alt = name;
  image.src = photoOf(take.thumb);
  return image;
}

// Why a take has no file to show.
function becameOf(take) {
  if (hasFile(take)) return null;
  return make("p", "gone", take.status === "failed" ? inWords(take.reason || "failed") : inWords(take.status));
}

// Another take in the place of the picture, until the next asset is shown.
function showTake(card, take, button, list) {
  for (const other of list.querySelectorAll(".take-picture")) other.setAttribute("aria-pressed", String(other === button));
  const shown = { ...card, status: take.status, reason: take.reason, detail: take.detail };
  judgeTake(take);
  showStill(photoOf(take.thumb) || address(take.asset_key), shown);
  byId("picture").alt = `Take ${take.take}: ${altOf(card)}`;
  showWhole(address(take.asset_key), card, () => showStill("", shown));
  dialog.querySelector(".stage").scrollIntoView({ block: "nearest" }); // on a phone it is above
}
