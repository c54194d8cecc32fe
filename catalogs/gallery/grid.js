// The grid of cards, one page of it at a time.

const template = byId("card").content.firstElementChild;

function cardNode(card) {
  const node = template.cloneNode(true);
  const link = node.firstElementChild;
  const [mat, caption] = link.children;
  link.href = `#${card.fingerprint}`;
  link.dataset.position = card.position;
  if (card.kind === "proof") mat.append(make("span", "badge proof", "PROOF"));
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
  const [name, place, more] = caption.children;
  name.textContent = card.product;
  place.textContent = `${card.shot}, ${card.channel}`;
  more.textContent = [pixels(card), size(card.bytes)].filter(Boolean).join(" · ");
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
