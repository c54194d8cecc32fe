// Keys, numbers, sizes and times as a reader sees them.

const numbers = new Intl.NumberFormat("en");
const address = (key) => report.root + key.split("/").map(encodeURIComponent).join("/");
const thumbOf = (card) => (card.thumb ? address(`thumbs/${card.thumb}`) : card.asset ? address(card.asset) : "");
const photoOf = (thumb) => (thumb ? address(`thumbs/${thumb}`) : "");
// What people call a product; its id where nobody wrote its title down.
const nameOf = (card) => card.title || card.product;
const inWords = (text) => (text ? text[0].toUpperCase() + text.slice(1).replaceAll("_", " ") : "None");
const assets = (count) => `${numbers.format(count)} ${count === 1 ? "asset" : "assets"}`;
// Of a score two digits tell; the worst check is at its limit at 0.50.
const scoreText = (score) => (typeof score === "number" ? score.toFixed(2) : "");
const isBad = (card) => card.status !== "delivered" && card.status !== "retired";
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
  return `${what} of ${nameOf(card)}, ${card.shot} for ${card.channel}`;
}
