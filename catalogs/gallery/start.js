// The start of the page: what it listens to, and what it shows first.

function listen() {
  let pause = 0;
  const typed = (text) => change({ query: text.trim() === "" ? "" : text }, { typing: true });
  byId("query").addEventListener("input", (event) => {
    clearTimeout(pause);
    pause = setTimeout(() => typed(event.target.value), 120);
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("sort").addEventListener("change", (event) => change({ sort: event.target.value }));
  byId("category").addEventListener("click", () => guarded(toggleCategory));
  byId("clear").addEventListener("click", () => {
    change({ ...NOTHING, view: "" });
    byId("query").focus();
  });
  byId("save").addEventListener("click", saveDecisions);
  byId("forget").addEventListener("click", forgetDecisions);
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
    if (dialog.open) decideByKey(event.key.toLowerCase());
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
makeScoreOrders();
showLeftOut();
showDecisions();
listen();
byId("query").value = "";
guarded(async () => {
  const { filters, page: index, fingerprint } = readAddress();
  want(filters);
  await apply(index);
  if (fingerprint) await showNamed(fingerprint);
});
