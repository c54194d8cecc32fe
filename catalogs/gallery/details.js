// The sections that say everything about one asset.

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
    ["Noise drawn on", row.seed_device],
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
    takesSection(card, row),
    reviewSection(card, row),
    checksSection(card, row),
    section("Picture", facts(pictureFacts(card, row))),
    promptSection("Prompt", row.prompt),
    promptSection("Prompt as the model saw it", row.prompt_used),
    section("Model", facts(modelFacts(row))),
    isJudged(card) ? "" : section("Scores", facts(numberFacts(row))),
    section(`References (${row.references?.length ?? 0})`, references(row.references)),
    section(`Covers ${numbers.format(covered)} ${covered === 1 ? "product" : "products"}`, covers(row.covers)),
    section("Record", facts(recordFacts(row))),
    section("Versions", facts(row.versions.map(([name, value]) => [name, value, true]))),
  );
  showChoice();
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
  const picture = reference.thumb ? make("img", "") : null;
  if (picture) {
    picture.loading = "lazy";
    picture.alt = `Image ${index + 1}`;
    picture.src = photoOf(reference.thumb);
  }
  return make(
    "li",
    "",
    picture,
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
  const made = section(title, shown);
  made.firstElementChild.append(copyButton("Copy", `Copy: ${title}`, pretty ?? text, `${title} copied`));
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
