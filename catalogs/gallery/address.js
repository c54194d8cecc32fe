// What is wanted, page and open asset as the part of the address behind #: a link shows what its writer saw.

const KEYS = {
  query: "q", brand_id: "brand", shot: "shot", channel: "channel", status: "status", verdict: "verdict", kind: "kind", in_set: "set",
  sort: "sort", view: "view",
};
const absent = (name, value) => value === null || (value === "" && ["query", "sort", "view"].includes(name));

function hashOf(fingerprint) {
  const said = new URLSearchParams();
  for (const [name, key] of Object.entries(KEYS)) if (!absent(name, wanted[name])) said.set(key, wanted[name]);
  if (page > 0) said.set("page", page + 1);
  if (!fingerprint) return said.toString() ? `#${said}` : "";
  if (!said.toString()) return `#${fingerprint}`;
  said.set("asset", fingerprint);
  return `#${said}`;
}

function readAddress() {
  const text = location.hash.slice(1);
  const said = new URLSearchParams(text.includes("=") ? text : "");
  const alone = text.includes("=") || text === "results" ? "" : decodeURIComponent(text);
  const filters = { ...NOTHING, sort: "", view: "" };
  for (const [name, key] of Object.entries(KEYS)) if (said.has(key)) filters[name] = said.get(key);
  if (!Object.hasOwn(SORTS, filters.sort)) filters.sort = "";
  if (filters.view !== "set") filters.view = "";
  return {
    filters,
    page: Math.max(0, (Number.parseInt(said.get("page"), 10) || 1) - 1),
    fingerprint: (said.get("asset") ?? alone).slice(0, 16),
  };
}

// A step that Back takes back; while somebody types, one for the whole word.
function goTo(hash, { replace = false, typing = false } = {}) {
  if (location.hash === hash) return;
  const target = hash || location.pathname + location.search;
  if (replace || (typing && history.state?.typing)) history.replaceState(history.state, "", target);
  else history.pushState(typing ? { typing } : null, "", target);
}
