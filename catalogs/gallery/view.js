// Which assets are shown and in what order.

const FACETS = { brand_id: "Brand", shot: "Shot", channel: "Channel", status: "Status", verdict: "Verdict", kind: "Kind", in_set: "Set" };
const collator = new Intl.Collator("en", { numeric: true });
const NOTHING = { query: "", ...Object.fromEntries(Object.keys(FACETS).map((name) => [name, null])) };
const wanted = { ...NOTHING, sort: "", view: "" };
let view = null; // positions in their order; null: all of them as recorded
let page = 0;
let turn = 0; // grows with every change of what is shown: what was awaited for an older one is dropped
const length = () => (view ? view.length : report.count);
const positionAt = (index) => (view ? view[index] : index);
const indexOf = (position) => (view ? view.indexOf(position) : position);
const filtered = () => wanted.query !== "" || Object.keys(FACETS).some((name) => wanted[name] !== null);

// What a facet must be; a category page shows what a shop could show.
const asked = (name) => (name === "status" && wanted.view ? wanted.status ?? "delivered" : wanted[name]);

// Texts as a search sees them: "cafe" finds "Café", and full-width letters are letters.
const folded = (text) => text.toLowerCase().normalize("NFKD").replace(/[\u0300-\u036f]/g, "");

function looksFound(file, tokens) {
  file.haystacks ??= file.look.values.map((texts) => folded(texts.join("\n")));
  return file.haystacks.map((text) => tokens.every((token) => text.includes(token)));
}

// Calls visit(file, place, position) for what passes the filters, all but the facet `except`.
function eachMatch(except, visit) {
  const tokens = folded(wanted.query).split(/\s+/).filter(Boolean);
  files.forEach((file, index) => {
    const tests = Object.keys(FACETS)
      .filter((name) => name !== except && asked(name) !== null)
      .map((name) => [file.coded[name].codes, file.coded[name].values.indexOf(asked(name))]);
    if (tests.some(([, code]) => code < 0)) return;
    const found = tokens.length ? looksFound(file, tokens) : null;
    file.look.codes.forEach((look, place) => {
      if (found && !found[look]) return;
      for (const [codes, code] of tests) if (codes[place] !== code) return;
      visit(file, place, index * report.page_size + place);
    });
  });
}

function productRanks() {
  const named = ([title, product]) => title || product;
  const names = new Set(files.flatMap((file) => file.look.values.map(named)));
  const ranks = new Map([...names].sort(collator.compare).map((name, rank) => [name, rank]));
  return (file, place) => ranks.get(named(pick(file.look, place)));
}

const SORTS = {
  product: productRanks,
  newest: () => (file, place) => -file.created[place],
  failed: () => (file, place) => (pick(file.coded.status, place) === "failed" ? 0 : 1),
  bytes: () => (file, place) => -file.bytes[place],
  // What has no score stands behind what has one, whichever comes first.
  worst: () => (file, place) => scoreAt(file, place) ?? 2,
  best: () => (file, place) => -(scoreAt(file, place) ?? -1),
};

// Whether what belongs together stands together: product, its shots, their channels.
const inGroups = () => !wanted.view && (wanted.sort === "" || wanted.sort === "product");

function matching() {
  const rank = SORTS[wanted.sort]?.();
  const found = [];
  eachMatch(null, (file, place, position) => found.push([position, rank ? rank(file, place) : 0]));
  if (rank) found.sort((a, b) => a[1] - b[1] || a[0] - b[0]);
  return found.map(([position]) => position);
}

function facetCounts(name) {
  if (!filtered() && !wanted.view) return new Map(report.facets[name]);
  const counts = new Map(report.facets[name].map(([value]) => [value, 0]));
  eachMatch(name, (file, place) => {
    const value = pick(file.coded[name], place);
    counts.set(value, counts.get(value) + 1);
  });
  return counts;
}
