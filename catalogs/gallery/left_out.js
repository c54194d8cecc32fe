// The catalog rows that the newest plan left out, and why.

const leftOut = byId("left-out");

function showLeftOut() {
  const total = report.left_out.reduce((sum, [, count]) => sum + count, 0);
  leftOut.hidden = total === 0;
  byId("left-out-count").textContent = `${numbers.format(total)} left out`;
  byId("left-out-kinds").textContent = report.left_out
    .map(([code, count]) => `${inWords(code)} (${numbers.format(count)})`)
    .join(", ");
  leftOut.addEventListener("toggle", () => leftOut.open && guarded(() => listLeftOut(total)));
}

async function listLeftOut(total) {
  if (byId("left-out-rows").childElementCount) return;
  const rows = await load("left-out");
  byId("left-out-rows").replaceChildren(...rows.map(leftOutNode));
  const rest = total - rows.length;
  byId("left-out-more").textContent = rest > 0 ? `${numbers.format(rest)} more are in rejects.parquet of the run.` : "";
}

function leftOutNode(row) {
  const name = make("strong", "", row.title || row.product || "A row without a name");
  name.dir = "auto";
  const id = row.title && row.product ? make("span", "product-id", row.product) : "";
  return make(
    "li",
    "",
    make("p", "", name, " ", id),
    make("p", "", make("span", "badge bad", inWords(row.code)), " ", row.reason),
    make("p", "where", row.where),
  );
}
