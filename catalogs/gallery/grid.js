// The grid of cards, one page of it at a time.

const template = byId("card").content.firstElementChild;

const productTemplate = byId("product").content.firstElementChild;
const several = (name) => report.facets[name].length > 1;
// A heading for each product is worth its room where a product has more than one picture.
const hasProducts = several("shot") || several("channel");
const hasVerdicts = report.scored > 0 || report.facets.verdict.some(([value]) => value);
const hasShots = several("shot") && several("channel");

function productNode(card) {
  const node = productTemplate.cloneNode(true);
  const [image, about] = node.children;
  const source = photoOf(card.photo);
  if (source) {
    image.alt = `Photo of ${nameOf(card)}`;
    image.src = source;
  } else {
    image.remove();
  }
  about.firstElementChild.textContent = nameOf(card);
  const others = card.covers.length > 1 ? `for ${numbers.format(card.covers.length)} products` : "";
  const id = card.title ? card.product : "";
  about.lastElementChild.textContent = [id, card.brand_id, others].filter(Boolean).join(" · ");
  return node;
}

// Headings that stand before a card: of its product and of its shot, where those before were others.
function* headings(card, before) {
  const isOther = card.look !== before?.look || card.brand_id !== before.brand_id;
  if (isOther) yield productNode(card);
  if (hasShots && (isOther || card.shot !== before.shot)) yield make("li", "shot", make("h4", "", card.shot));
}

function captions(card, grouped) {
  const more = [pixels(card), size(card.bytes)].filter(Boolean).join(" · ");
  if (wanted.view) return [nameOf(card), "", ""];
  if (!grouped) return [nameOf(card), `${card.shot}, ${card.channel}`, more];
  const name = several("channel") ? card.channel : card.shot;
  return [name, card.variation ? `Variation ${card.variation}` : "", more];
}

function cardNode(card, grouped) {
  const node = template.cloneNode(true);
  const link = node.firstElementChild;
  const [mat, caption] = link.children;
  link.href = `#${card.fingerprint}`;
  link.dataset.position = card.position;
  if (card.kind === "proof" && card.status !== "failed") mat.append(make("span", "badge proof", "PROOF"));
  if (isBad(card) && card.status !== "failed") mat.append(make("span", "badge bad", inWords(card.status)));
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
  captions(card, grouped).forEach((text, line) => {
    caption.children[line].textContent = text;
    caption.children[line].hidden = !text;
  });
  markCard(link, card);
  if (!wanted.view && isJudged(card)) caption.append(judgedNode(card));
  return node;
}

// Why there is no picture: a heading and a sentence.
function faultOf(card) {
  if (card.status === "failed") return [card.reason ? inWords(card.reason) : "Failed", card.detail];
  if (card.status === "missing") return ["Missing", "The file is gone; the next render makes it again."];
  return [card.status === "delivered" ? "No picture" : inWords(card.status), "The file is not where the catalog says."];
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
  const grouped = hasProducts && inGroups();
  let before = null;
  for (let at = start; at < stop; at++) {
    const card = cardAt(positionAt(at));
    if (grouped) nodes.append(...headings(card, before));
    nodes.append(cardNode(card, grouped));
    before = card;
  }
  byId("grid").replaceChildren(nodes);
  byId("grid").classList.remove("stale");
  byId("grid").classList.toggle("grouped", grouped);
  byId("grid").classList.toggle("scored", !wanted.view && hasVerdicts);
  showCategory(before);
  showCount(start, stop);
  measure();
  document.documentElement.dataset.ready = String(stop - start);
  performance.mark("ready");
}

function showCount(start, stop) {
  const hasPages = length() > report.page_size;
  const part = hasPages ? `${numbers.format(start + 1)} to ${numbers.format(stop)} of ` : "";
  byId("count").textContent = filtered() || wanted.view
    ? `${part}${numbers.format(length())} of ${assets(report.count)}`
    : `${part}${assets(report.count)}`;
  byId("empty").hidden = length() > 0;
  const [title, text] = byId("empty").children;
  title.textContent = report.count ? "No asset matches these filters" : "Nothing here yet";
  text.textContent = report.count ? "Try fewer filters or another word." : "The campaign has no asset yet.";
  showPager(hasPages);
}

function showPager(hasPages) {
  byId("pager").hidden = !hasPages;
  if (!hasPages) return;
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
  goTo(hashOf(""));
  byId("results").scrollIntoView();
  byId("results").focus({ preventScroll: true });
}

// The height of what is not laid out yet: the scroll bar must not jump.
function measure() {
  const first = byId("grid").querySelector(".card");
  if (first) byId("grid").style.setProperty("--card-height", `${first.offsetHeight}px`);
}
