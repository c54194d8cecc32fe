
"use strict";
(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const byId = (id) => document.getElementById(id);
  const pages = Math.ceil(report.count / report.page_size);
  const FACETS = { brand_id: "Brand", shot: "Shot", channel: "Channel", status: "Status", kind: "Kind" };
  const numbers = new Intl.NumberFormat("en");
  const collator = new Intl.Collator("en", { numeric: true });
  const PARALLEL = 6;

  // ---- data files: scripts that call packshotData, for a page of a file:// address cannot fetch

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

  function cardAt(position) {
    const file = files[Math.floor(position / report.page_size)];
    const place = position % report.page_size;
    const [product, look, ...covers] = pick(file.look, place);
    const [width, height] = pick(file.size, place);
    const card = { position, product, look, covers, width, height };
    for (const name in file.coded) card[name] = pick(file.coded[name], place);
    for (const name of ["variation", "bytes", "created", "fingerprint", "thumb"]) card[name] = file[name][place];
    card.asset = file.assets.get(place);
    card.detail = file.details.get(place) ?? "";
    return card;
  }

  // ---- words

  const address = (key) => report.root + key.split("/").map(encodeURIComponent).join("/");
  const thumbOf = (card) => (card.thumb ? address(`thumbs/${card.thumb}`) : card.asset ? address(card.asset) : "");
  const inWords = (text) => (text ? text[0].toUpperCase() + text.slice(1).replaceAll("_", " ") : "None");
  const assets = (count) => `${numbers.format(count)} ${count === 1 ? "asset" : "assets"}`;
  const pixels = (card) => (card.width ? `${card.width} × ${card.height}` : "");

  function moment(text) {
    if (!text) return "";
    const zone = /(\+00:00|Z)$/.test(text) ? "UTC" : text.slice(19);
    return `${text.slice(0, 19).replace("T", " ")} ${zone}`;
  }

  function size(bytes) {
    if (!bytes) return "";
    if (bytes < 1000) return `${bytes} B`;
    return bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  }

  function altOf(card) {
    const what = card.kind === "proof" ? "Proof" : "Picture";
    return `${what} of ${card.product}, ${card.shot} for ${card.channel}`;
  }

  // Everything on the page is made here, and text only ever becomes a text node.
  function make(tag, className, ...children) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    node.append(...children.filter((child) => child !== "" && child != null));
    return node;
  }

  // ---- filters

  const NOTHING = { query: "", ...Object.fromEntries(Object.keys(FACETS).map((name) => [name, null])) };
  const wanted = { ...NOTHING, sort: "" };
  let view = null; // positions in their order; null: all of them as recorded
  let page = 0;
  let turn = 0;
  const length = () => (view ? view.length : report.count);
  const positionAt = (index) => (view ? view[index] : index);
  const indexOf = (position) => (view ? view.indexOf(position) : position);
  const filtered = () => wanted.query !== "" || Object.keys(FACETS).some((name) => wanted[name] !== null);

  function looksFound(file, tokens) {
    file.haystacks ??= file.look.values.map((texts) => texts.join("\n").toLowerCase());
    return file.haystacks.map((text) => tokens.every((token) => text.includes(token)));
  }

  // Calls visit(file, place, position) for what passes the filters, all but the facet `except`.
  function eachMatch(except, visit) {
    const tokens = wanted.query.toLowerCase().split(/\s+/).filter(Boolean);
    files.forEach((file, index) => {
      const tests = Object.keys(FACETS)
        .filter((name) => name !== except && wanted[name] !== null)
        .map((name) => [file.coded[name].codes, file.coded[name].values.indexOf(wanted[name])]);
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
    const names = new Set(files.flatMap((file) => file.look.values.map((texts) => texts[0])));
    const ranks = new Map([...names].sort(collator.compare).map((name, rank) => [name, rank]));
    return (file, place) => ranks.get(pick(file.look, place)[0]);
  }

  const SORTS = {
    product: productRanks,
    newest: () => (file, place) => -file.created[place],
    failed: () => (file, place) => (pick(file.coded.status, place) === "failed" ? 0 : 1),
    bytes: () => (file, place) => -file.bytes[place],
  };

  function matching() {
    const rank = SORTS[wanted.sort]?.();
    const found = [];
    eachMatch(null, (file, place, position) => found.push([position, rank ? rank(file, place) : 0]));
    if (rank) found.sort((a, b) => a[1] - b[1] || a[0] - b[0]);
    return found.map(([position]) => position);
  }

  function facetCounts(name) {
    if (!filtered()) return new Map(report.facets[name]);
    const counts = new Map(report.facets[name].map(([value]) => [value, 0]));
    eachMatch(name, (file, place) => {
      const value = pick(file.coded[name], place);
      counts.set(value, counts.get(value) + 1);
    });
    return counts;
  }

  const label = (name, value) => (name === "status" || name === "kind" ? inWords(value) : value || "None");

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
    byId("clear").hidden = !filtered();
  }

  function makeFacets() {
    for (const [name, title] of Object.entries(FACETS)) {
      const every = title === "Status" ? "All statuses" : `All ${title.toLowerCase()}s`;
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
      ["Proofs", count("kind", "proof"), "", "proof"],
    ];
    for (const [title, total, status, kind] of tiles) {
      const tile = make("button", "tile", make("strong", "", numbers.format(total)), make("span", "", title));
      tile.type = "button";
      tile.classList.toggle("bad", status === "failed" && total > 0);
      Object.assign(tile.dataset, { status, kind });
      tile.addEventListener("click", () => change({ status: status || null, kind: kind || null }));
      byId("tiles").append(tile);
    }
  }

  function change(some) {
    Object.assign(wanted, some);
    if (some.query !== undefined && some.query !== byId("query").value) byId("query").value = some.query;
    return guarded(apply);
  }

  async function apply() {
    const mine = ++turn;
    const narrowed = filtered() || wanted.sort !== "";
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
    await showPage(0);
  }

  // ---- cards

  const template = byId("card").content.firstElementChild;

  function cardNode(card) {
    const node = template.cloneNode(true);
    const link = node.firstElementChild;
    const [mat, caption] = link.children;
    link.href = `#${card.fingerprint}`;
    link.dataset.position = card.position;
    if (card.kind === "proof") mat.append(make("span", "badge proof", "PROOF"));
    const source = card.status === "failed" ? "" : thumbOf(card);
    if (source) {
      const image = mat.firstElementChild;
      image.alt = altOf(card);
      image.className = card.width >= card.height ? "wide" : "tall";
      if (card.width && card.height) {
        image.width = card.width;
        image.height = card.height;
      }
      image.src = source;
    } else {
      mat.firstElementChild.remove();
      showFault(node, card);
    }
    const [name, place, more] = caption.children;
    name.textContent = card.product;
    place.textContent = `${card.shot}, ${card.channel}`;
    more.textContent = [pixels(card), size(card.bytes)].filter(Boolean).join(" · ");
    return node;
  }

  // Why there is no picture: a heading and a sentence.
  function faultOf(card) {
    if (card.status === "failed") return [card.reason ? inWords(card.reason) : "Failed", card.detail];
    return [card.status === "retired" ? "Retired" : "No picture", "The file is not where the catalog says."];
  }

  function showFault(node, card) {
    const [title, text] = faultOf(card);
    node.classList.add(card.status === "failed" ? "failed" : "lost");
    node.querySelector(".fault").replaceChildren(make("strong", "", title), text);
  }

  async function showPage(index) {
    const mine = turn;
    if (!view && pages) await loadPage(index);
    if (mine !== turn) return;
    page = index;
    const start = page * report.page_size;
    const stop = Math.min(start + report.page_size, length());
    const nodes = document.createDocumentFragment();
    for (let at = start; at < stop; at++) nodes.append(cardNode(cardAt(positionAt(at))));
    byId("grid").replaceChildren(nodes);
    byId("grid").classList.remove("stale");
    showCount(start, stop);
    measure();
    document.documentElement.dataset.ready = String(stop - start);
    performance.mark("ready");
  }

  function showCount(start, stop) {
    const several = length() > report.page_size;
    const part = several ? `${numbers.format(start + 1)} to ${numbers.format(stop)} of ` : "";
    byId("count").textContent = filtered()
      ? `${part}${numbers.format(length())} of ${assets(report.count)}`
      : `${part}${assets(report.count)}`;
    byId("empty").hidden = length() > 0;
    const [title, text] = byId("empty").children;
    title.textContent = report.count ? "No asset matches these filters" : "Nothing here yet";
    text.textContent = report.count ? "Try fewer filters or another word." : "The campaign has no asset yet.";
    showPager(several);
  }

  function showPager(several) {
    byId("pager").hidden = !several;
    if (!several) return;
    const total = Math.ceil(length() / report.page_size);
    byId("page").replaceChildren(
      ...Array.from({ length: total }, (_, index) => make("option", "", `${index + 1} of ${total}`)),
    );
    byId("page").selectedIndex = page;
    byId("back").disabled = page === 0;
    byId("forward").disabled = page === total - 1;
  }

  async function turnTo(index) {
    turn++;
    await showPage(index);
    byId("results").scrollIntoView();
    byId("results").focus({ preventScroll: true });
  }

  // The height of what is not laid out yet: the scroll bar must not jump.
  function measure() {
    const first = byId("grid").firstElementChild;
    if (first) byId("grid").style.setProperty("--card-height", `${first.offsetHeight}px`);
  }

  // ---- one asset

  const dialog = byId("detail");
  let open = -1; // index in the view

  async function show(index) {
    const position = positionAt(index);
    const before = dialog.open;
    open = index;
    await loadPage(Math.floor(position / report.page_size));
    if (open !== index) return;
    const card = cardAt(position);
    showHead(card, index);
    if (!before) dialog.showModal();
    remember(card.fingerprint, before);
    const row = await loadDetails(position);
    if (open !== index) return;
    showPicture(card, row);
    showSections(card, row);
    dialog.dataset.shown = card.fingerprint;
  }

  function remember(fingerprint, replace) {
    const hash = `#${fingerprint}`;
    if (location.hash === hash) return;
    if (replace) history.replaceState(null, "", hash);
    else history.pushState(null, "", hash);
  }

  function showHead(card, index) {
    byId("place").textContent = `${numbers.format(index + 1)} of ${numbers.format(length())}`;
    byId("previous").disabled = index === 0;
    byId("next").disabled = index === length() - 1;
    byId("detail-eyebrow").textContent = card.brand_id;
    byId("detail-title").textContent = card.product;
    byId("badges").replaceChildren(
      make("span", card.status === "failed" ? "badge bad" : "badge", inWords(card.status)),
      ...(card.kind === "proof" ? [make("span", "badge proof", "PROOF")] : []),
      make("span", "badge", card.shot),
      make("span", "badge", card.channel),
    );
    byId("sections").replaceChildren();
    byId("panel").scrollTop = 0;
    dialog.querySelector(".sheet").scrollTop = 0;
    delete dialog.dataset.shown;
    showStill(card.status === "failed" ? "" : thumbOf(card), card);
  }

  function showStill(source, card) {
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

  // The thumbnail stays until the whole file is decoded.
  function showPicture(card, row) {
    if (card.status === "failed") byId("no-picture").lastElementChild.textContent = row.detail ?? "";
    if (card.status === "failed" || !row.asset_key) return;
    const source = address(row.asset_key);
    const mine = open;
    const whole = new Image();
    whole.src = source;
    whole.decode().then(
      () => {
        if (open !== mine) return;
        byId("original").href = source;
        byId("picture").src = source;
        byId("original").setAttribute("aria-label", `Open the file: ${altOf(card)}`);
      },
      () => open === mine && showStill("", card),
    );
  }

  function section(title, ...content) {
    const shown = content.filter(Boolean);
    return shown.length ? make("section", "", make("div", "section-bar", make("h3", "", title)), ...shown) : "";
  }

  // A list of [label, value, mono?]; null when nothing is known.
  function facts(list) {
    const known = list.filter(([, value]) => value !== null && value !== undefined && value !== "");
    if (!known.length) return null;
    const item = ([name, value, mono]) => [make("dt", "", name), make("dd", mono ? "mono" : "", String(value))];
    return make("dl", "facts", ...known.flatMap(item));
  }

  const yes = (value) => (value === null || value === undefined ? null : value ? "Yes" : "No");
  const rounded = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : value);

  function failureFacts(card, row) {
    return card.status === "failed"
      ? [["Reason", inWords(card.reason)], ["Detail", row.detail], ["Attempts", row.attempts]]
      : [];
  }

  function pictureFacts(card, row) {
    return [
      ["Size", pixels(card)],
      ["Format", card.format.toUpperCase()],
      ["File", card.bytes ? `${size(card.bytes)} (${numbers.format(card.bytes)} bytes)` : ""],
      ["Variation", card.variation],
      ["Take", row.take],
      ["Created", moment(row.created_at)],
      ["Shows a person", yes(row.has_person)],
      ["AI label required", yes(row.ai_label_required)],
    ];
  }

  function modelFacts(row) {
    return [
      ["Model", row.model],
      ["Revision", row.model_revision, true],
      ["Engine", row.engine],
      ["Seed", row.seed],
      ["Steps", row.steps],
      ["Guidance", row.guidance],
      ["Batch size", row.batch_size],
      ["Time", row.seconds === null ? null : `${rounded(row.seconds)} s`],
      ["Cost", row.cost ? rounded(row.cost) : null],
    ];
  }

  function recordFacts(row) {
    return [
      ["Fingerprint", row.fingerprint, true],
      ["Render", row.render_fingerprint, true],
      ["Asset key", row.asset_key, true],
      ["Master key", row.render_key, true],
      ["SHA-256", row.sha256, true],
      ["Pixels", row.pixel_sha256, true],
      ["Look", row.look, true],
      ["Campaign", row.campaign],
      ["Run", row.run_id, true],
      ["Attempts", row.attempts],
    ];
  }

  function showSections(card, row) {
    const covered = row.covers?.length ?? 0;
    byId("sections").replaceChildren(
      section("Failure", facts(failureFacts(card, row))),
      section("Picture", facts(pictureFacts(card, row))),
      promptSection("Prompt", row.prompt),
      promptSection("Prompt as the model saw it", row.prompt_used),
      section("Model", facts(modelFacts(row))),
      section("Scores", facts(row.quality.map(([name, value]) => [inWords(name), rounded(value)]))),
      section(`References (${row.references?.length ?? 0})`, references(row.references)),
      section(`Covers ${numbers.format(covered)} ${covered === 1 ? "product" : "products"}`, covers(row.covers)),
      section("Record", facts(recordFacts(row))),
      section("Versions", facts(row.versions.map(([name, value]) => [name, value, true]))),
    );
  }

  function covers(list) {
    return list?.length ? make("ul", "covers", ...list.map((product) => make("li", "", product))) : null;
  }

  function references(list) {
    if (!list?.length) return null;
    return make("ol", "references", ...list.map(referenceNode));
  }

  function referenceNode(reference, index) {
    const about = [`Image ${index + 1}`, reference.role, pixels(reference), reference.licence];
    return make(
      "li",
      "",
      make("p", "uri", reference.uri ?? ""),
      make("p", "", about.filter(Boolean).join(" · ")),
      make("p", "mono", reference.sha256 ?? ""),
    );
  }

  function promptSection(title, text) {
    if (!text) return "";
    const pretty = prettyPrinted(text);
    const shown = make("pre", "");
    shown.tabIndex = 0;
    shown.setAttribute("aria-label", title);
    shown.append(...(pretty === null ? [text] : coloured(pretty)));
    const button = make("button", "quiet", "Copy");
    button.type = "button";
    button.setAttribute("aria-label", `Copy: ${title}`);
    button.addEventListener("click", () => copy(pretty ?? text, `${title} copied`));
    const made = section(title, shown);
    made.firstElementChild.append(button);
    return made;
  }

  function prettyPrinted(text) {
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return null; // prose
    }
  }

  const TOKEN = /"(?:\\.|[^"\\])*"(?=(\s*:)?)|-?\d[\d.eE+-]*|true|false|null/g;

  function coloured(text) {
    const nodes = [];
    let end = 0;
    for (const match of text.matchAll(TOKEN)) {
      nodes.push(text.slice(end, match.index));
      const kind = match[0][0] !== '"' ? "json-number" : match[1] ? "json-key" : "json-text";
      nodes.push(make("span", kind, swatch(match[0]), match[0]));
      end = match.index + match[0].length;
    }
    return [...nodes, text.slice(end)];
  }

  function swatch(token) {
    const colour = /#[0-9a-f]{6}\b/i.exec(token);
    if (!colour) return null;
    const patch = make("span", "swatch");
    patch.style.backgroundColor = colour[0];
    return patch;
  }

  function step(by) {
    const index = open + by;
    if (open >= 0 && index >= 0 && index < length()) guarded(() => show(index));
  }

  async function closed() {
    const index = open;
    open = -1;
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    if (index < 0) return;
    const target = Math.floor(index / report.page_size);
    if (target !== page) await showPage(target);
    const link = byId("grid").querySelector(`a[data-position="${positionAt(index)}"]`);
    link?.scrollIntoView({ block: "nearest" });
    link?.focus({ preventScroll: true });
  }

  // ---- deep links

  async function findPosition(fingerprint) {
    for (let index = 0; index < pages; index++) {
      const place = (await loadPage(index)).fingerprint.indexOf(fingerprint);
      if (place >= 0) return index * report.page_size + place;
    }
    return -1;
  }

  async function followHash() {
    const fingerprint = decodeURIComponent(location.hash.slice(1)).slice(0, 16);
    if (!fingerprint || fingerprint === "results") {
      if (dialog.open) dialog.close();
      return;
    }
    if (dialog.open && cardAt(positionAt(open)).fingerprint === fingerprint) return;
    const position = await findPosition(fingerprint);
    if (position < 0) return tell(`No asset of this report has the fingerprint ${fingerprint}.`);
    if (indexOf(position) < 0) await change(NOTHING);
    await show(indexOf(position));
  }

  // ---- saying and copying

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

  function copyBySelection(text) {
    const area = make("textarea", "hidden");
    area.value = text;
    dialog.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  // ---- start

  function listen() {
    let pause = 0;
    byId("query").addEventListener("input", (event) => {
      clearTimeout(pause);
      pause = setTimeout(() => change({ query: event.target.value.trim() === "" ? "" : event.target.value }), 120);
    });
    byId("query").value = "";
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("sort").addEventListener("change", (event) => change({ sort: event.target.value }));
    byId("clear").addEventListener("click", () => {
      change(NOTHING);
      byId("query").focus();
    });
    byId("back").addEventListener("click", () => guarded(() => turnTo(page - 1)));
    byId("forward").addEventListener("click", () => guarded(() => turnTo(page + 1)));
    byId("page").addEventListener("change", (event) => guarded(() => turnTo(event.target.selectedIndex)));
    byId("grid").addEventListener("click", (event) => {
      const link = event.target.closest("a");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      guarded(() => show(indexOf(Number(link.dataset.position))));
    });
    byId("grid").addEventListener("error", (event) => {
      const node = event.target.closest(".card");
      showFault(node, cardAt(Number(node.firstElementChild.dataset.position)));
    }, true);
    new ResizeObserver(measure).observe(byId("grid"));
    listenDialog();
  }

  function listenDialog() {
    byId("previous").addEventListener("click", () => step(-1));
    byId("next").addEventListener("click", () => step(1));
    byId("close").addEventListener("click", () => dialog.close());
    byId("link").addEventListener("click", () => copy(location.href, "Link copied"));
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => guarded(closed));
    addEventListener("hashchange", () => guarded(followHash));
    addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (dialog.open && event.key === "ArrowLeft") step(-1);
      if (dialog.open && event.key === "ArrowRight") step(1);
      if (!dialog.open && event.key === "/" && !event.target.closest("input, select")) {
        event.preventDefault();
        byId("query").focus();
      }
    });
  }

  function showHeading() {
    byId("title").textContent = report.title;
    const about = [
      ["Campaign", report.title === report.campaign ? "" : report.campaign],
      ["Run", report.run_id],
      ["Written", moment(report.written_at)],
      ...report.about,
    ];
    const known = about.filter(([, value]) => value);
    byId("about").append(...known.map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value))));
  }

  showHeading();
  makeTiles();
  makeFacets();
  listen();
  guarded(async () => {
    await apply();
    await followHash();
  });
})();
