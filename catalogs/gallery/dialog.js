// One asset, opened by a click or by the address, and the steps to its neighbours.

const dialog = byId("detail");
let open = -1; // index in the view
let awaited = 0; // grows with every whole picture that is wanted: one that comes later than the next is dropped

async function show(index) {
  const position = positionAt(index);
  const before = dialog.open;
  open = index;
  await loadPage(Math.floor(position / report.page_size));
  if (open !== index) return;
  const card = cardAt(position);
  showHead(card, index);
  if (!before) dialog.showModal();
  goTo(hashOf(card.fingerprint), { replace: before });
  const row = await loadDetails(position);
  if (open !== index) return;
  showPicture(card, row);
  showSections(card, row);
  dialog.dataset.shown = card.fingerprint;
}

function showHead(card, index) {
  byId("place").textContent = `${numbers.format(index + 1)} of ${numbers.format(length())}`;
  byId("previous").disabled = index === 0;
  byId("next").disabled = index === length() - 1;
  byId("detail-eyebrow").textContent = card.brand_id;
  byId("detail-title").textContent = nameOf(card);
  byId("detail-product").textContent = card.title ? card.product : "";
  byId("badges").replaceChildren(
    make("span", isBad(card) ? "badge bad" : "badge", inWords(card.status)),
    ...(card.verdict ? [verdictNode(card.verdict)] : []),
    ...(card.kind === "proof" ? [make("span", "badge proof", "PROOF")] : []),
    make("span", "badge", card.shot),
    make("span", "badge", card.channel),
  );
  byId("sections").replaceChildren();
  judged = null; // until its key is known
  byId("panel").scrollTop = 0;
  dialog.querySelector(".sheet").scrollTop = 0;
  delete dialog.dataset.shown;
  showStill(card.status === "failed" ? "" : thumbOf(card), card);
  showPhoto(card);
}

function showPhoto(card) {
  const source = photoOf(card.photo);
  const image = byId("photo").firstElementChild;
  byId("photo").hidden = !source;
  image.removeAttribute("src");
  image.alt = `Photo of ${nameOf(card)}`;
  if (source) image.src = source;
}

function showStill(source, card) {
  awaited++;
  const image = byId("picture");
  byId("original").hidden = !source;
  byId("original").removeAttribute("href");
  byId("no-picture").hidden = Boolean(source);
  image.removeAttribute("src");
  image.alt = altOf(card);
  if (card.width && card.height) {
    image.style.setProperty("--ratio", card.width / card.height);
    image.style.setProperty("--width", `${card.width}px`);
  }
  if (source) image.src = source;
  const [title, text] = faultOf(card);
  byId("no-picture").firstElementChild.textContent = title;
  byId("no-picture").lastElementChild.textContent = text;
}

function showPicture(card, row) {
  if (card.status === "failed") byId("no-picture").lastElementChild.textContent = row.detail ?? "";
  if (card.status === "failed" || !row.asset_key) return;
  showWhole(address(row.asset_key), card, () => showStill("", card));
}

// The thumbnail stays until the whole file is decoded, and where there is none `lost` is called.
function showWhole(source, card, lost) {
  const mine = ++awaited;
  const whole = new Image();
  whole.src = source;
  whole.decode().then(
    () => {
      if (awaited !== mine) return;
      byId("original").href = source;
      byId("picture").src = source;
      byId("original").setAttribute("aria-label", `Open the file: ${altOf(card)}`);
    },
    () => awaited === mine && lost(),
  );
}

function step(by) {
  const index = open + by;
  if (open >= 0 && index >= 0 && index < length()) guarded(() => show(index));
}

async function closed() {
  const index = open;
  open = -1;
  if (readAddress().fingerprint) goTo(hashOf(""), { replace: true });
  if (index < 0 || index >= length()) return;
  const target = Math.floor(index / report.page_size);
  if (target !== page) await showPage(target);
  const link = byId("grid").querySelector(`a[data-position="${positionAt(index)}"]`);
  link?.scrollIntoView({ block: "nearest" });
  link?.focus({ preventScroll: true });
}

async function findPosition(fingerprint) {
  for (let index = 0; index < pages; index++) {
    const place = (await loadPage(index)).fingerprint.indexOf(fingerprint);
    if (place >= 0) return index * report.page_size + place;
  }
  return -1;
}

async function followHash() {
  const { filters, page: index, fingerprint } = readAddress();
  const isOther = Object.keys(KEYS).some((name) => filters[name] !== wanted[name]);
  if (dialog.open && !fingerprint) dialog.close();
  if (isOther) want(filters);
  if (isOther || (!fingerprint && index !== page)) await apply(index);
  if (fingerprint) await showNamed(fingerprint);
}

async function showNamed(fingerprint) {
  if (dialog.open && open >= 0 && cardAt(positionAt(open)).fingerprint === fingerprint) return;
  const position = await findPosition(fingerprint);
  if (position < 0) return tell(`No asset of this report has the fingerprint ${fingerprint}.`);
  if (indexOf(position) < 0) {
    want({ ...NOTHING, sort: "", view: "" });
    await apply();
  }
  await show(indexOf(position));
}
