// The pictures of one brand, shot and channel as the category page of a shop lays them out: equal tiles on white.

const SET = ["brand_id", "shot", "channel"];
const isGiven = (name) => wanted[name] !== null || report.facets[name].length < 2;
const mayBeSet = () => wanted.brand_id !== null || wanted.shot !== null || (isGiven("brand_id") && isGiven("shot"));

// Brand, shot and channel of most of what the filters leave.
function largestSet() {
  const counts = new Map();
  eachMatch(null, (file, place) => {
    if (pick(file.coded.status, place) !== "delivered") return;
    const set = JSON.stringify(SET.map((name) => pick(file.coded[name], place)));
    counts.set(set, (counts.get(set) ?? 0) + 1);
  });
  const [largest] = [...counts].reduce((most, one) => (one[1] > most[1] ? one : most), ["[]", 0]);
  return Object.fromEntries(JSON.parse(largest).map((value, index) => [SET[index], value]));
}

async function toggleCategory() {
  if (wanted.view) return change({ view: "" });
  await loadAllPages(() => {});
  // A facet with one value has nothing to choose, and stays as it is.
  const chosen = Object.entries(largestSet()).filter(([name]) => several(name));
  return change({ ...Object.fromEntries(chosen), view: "set" });
}

function showCategory(card) {
  const button = byId("category");
  button.hidden = !wanted.view && !(report.count && mayBeSet());
  button.setAttribute("aria-pressed", String(Boolean(wanted.view)));
  byId("grid").classList.toggle("set", Boolean(wanted.view));
  if (card?.width && card.height) byId("grid").style.setProperty("--tile", card.width / card.height);
}
