// The controls that filter and sort.

const WORDED = ["status", "kind", "verdict"];
const EVERY = { Status: "All statuses", Set: "Apart or not" };

function label(name, value) {
  if (name === "in_set") return value ? "Apart from its set" : "Not apart";
  return WORDED.includes(name) ? inWords(value) : value || "None";
}

function showFacets() {
  for (const name in FACETS) {
    const select = byId(`facet-${name}`);
    const counts = facetCounts(name);
    for (const option of select.options) {
      if (option.dataset.value === undefined) continue;
      const count = counts.get(option.dataset.value) ?? 0;
      option.textContent = `${label(name, option.dataset.value)} (${numbers.format(count)})`;
    }
    select.selectedIndex = 1 + report.facets[name].findIndex(([value]) => value === wanted[name]);
    select.classList.toggle("set", wanted[name] !== null);
  }
  for (const tile of byId("tiles").children) {
    const pressed = (wanted.status ?? "") === tile.dataset.status && (wanted.kind ?? "") === tile.dataset.kind;
    tile.setAttribute("aria-pressed", String(pressed));
  }
  byId("clear").hidden = !filtered() && !wanted.view;
}

function makeFacets() {
  for (const [name, title] of Object.entries(FACETS)) {
    const every = EVERY[title] ?? `All ${title.toLowerCase()}s`;
    const select = make("select", "", make("option", "", every));
    select.id = `facet-${name}`;
    for (const [value] of report.facets[name]) {
      const option = make("option");
      option.dataset.value = value;
      select.append(option);
    }
    select.addEventListener("change", () => change({ [name]: select.selectedOptions[0].dataset.value ?? null }));
    const facet = make("label", "choice", make("span", "", title), select);
    facet.hidden = report.facets[name].length < 2;
    byId("facets").lastElementChild.before(facet);
  }
}

function makeTiles() {
  const count = (name, value) => new Map(report.facets[name]).get(value) ?? 0;
  const tiles = [
    ["All", report.count, "", ""],
    ["Delivered", count("status", "delivered"), "delivered", ""],
    ["Failed", count("status", "failed"), "failed", ""],
    ...["missing", "withdrawn"]
      .filter((status) => count("status", status))
      .map((status) => [inWords(status), count("status", status), status, ""]),
    ["Proofs", count("kind", "proof"), "", "proof"],
  ];
  for (const [title, total, status, kind] of tiles) {
    const tile = make("button", "tile", make("strong", "", numbers.format(total)), make("span", "", title));
    tile.type = "button";
    tile.classList.toggle("bad", ["failed", "missing", "withdrawn"].includes(status) && total > 0);
    Object.assign(tile.dataset, { status, kind });
    tile.addEventListener("click", () => change({ status: status || null, kind: kind || null }));
    byId("tiles").append(tile);
  }
}

function change(some, { typing = false } = {}) {
  want(some);
  page = 0;
  goTo(hashOf(""), { typing });
  return guarded(apply);
}

function want(some) {
  Object.assign(wanted, some);
  if (some.query !== undefined && some.query !== byId("query").value) byId("query").value = some.query;
  byId("sort").value = wanted.sort;
}

// Orders that only scores give.
function makeScoreOrders() {
  if (!report.scored) return;
  for (const [value, text] of [["worst", "Worst score first"], ["best", "Best score first"]]) {
    const option = make("option", "", text);
    option.value = value;
    byId("sort").append(option);
  }
}

async function apply(index = 0) {
  const mine = ++turn;
  const narrowed = filtered() || wanted.sort !== "" || wanted.view !== "";
  if (narrowed && pages > 1) {
    byId("grid").classList.add("stale");
    await loadAllPages((done) => {
      const share = Math.round((100 * done) / pages);
      if (mine === turn && done < pages) byId("count").textContent = `Reading the index, ${share} %`;
    });
  } else if (narrowed && pages) {
    await loadPage(0);
  }
  if (mine !== turn) return;
  view = narrowed ? matching() : null;
  showFacets();
  await showPage(Math.min(index, Math.max(0, Math.ceil(length() / report.page_size) - 1)));
}
