// What the gallery knows: its own facts, and data files loaded as scripts, for a file:// address cannot fetch.

const report = JSON.parse(document.getElementById("report").textContent);
const pages = Math.ceil(report.count / report.page_size);
const PARALLEL = 6;
const arrived = new Map();
const loading = new Map();
const files = []; // cards by page, as they were loaded

window.packshotData = (name, data) => arrived.set(name, data);

function load(name) {
  if (!loading.has(name)) {
    const promise = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const fail = () => {
        loading.delete(name);
        reject(new Error(`${name}.js could not be loaded. Keep all files of the report folder together.`));
      };
      script.src = `${name}.js?${report.stamp}`;
      script.onerror = fail;
      script.onload = () => (arrived.has(name) ? resolve(arrived.get(name)) : fail());
      document.head.append(script);
    });
    loading.set(name, promise);
  }
  return loading.get(name);
}

const numbered = (kind, index) => `${kind}-${String(index + 1).padStart(4, "0")}`;

async function loadPage(index) {
  if (!files[index]) {
    const file = await load(numbered("data", index));
    file.assets ??= new Map(file.asset);
    file.details ??= new Map(file.detail);
    files[index] = file;
  }
  return files[index];
}

async function loadAllPages(tell) {
  let next = 0;
  let done = 0;
  const worker = async () => {
    while (next < pages) {
      await loadPage(next++);
      tell(++done);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

async function loadDetails(position) {
  const rows = await load(numbered("details", Math.floor(position / report.details_size)));
  return rows[position % report.details_size];
}

const pick = (column, place) => column.values[column.codes[place]];

// From 0 to 1, null where nothing was scored; files hold ten thousandths.
const scoreAt = (file, place) => (typeof file.score?.[place] === "number" ? file.score[place] / 10_000 : null);

function cardAt(position) {
  const file = files[Math.floor(position / report.page_size)];
  const place = position % report.page_size;
  const [title, product, look, ...covers] = pick(file.look, place);
  const [width, height] = pick(file.size, place);
  const card = { position, title, product, look, covers, width, height };
  for (const name of ["photo", "render"]) card[name] = pick(file[name], place);
  for (const name in file.coded) card[name] = pick(file.coded[name], place);
  for (const name of ["variation", "bytes", "created", "fingerprint", "thumb"]) card[name] = file[name][place];
  card.asset = file.assets.get(place);
  card.detail = file.details.get(place) ?? "";
  card.score = scoreAt(file, place);
  return card;
}
