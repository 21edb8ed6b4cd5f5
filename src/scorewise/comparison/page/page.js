"use strict";
// Sorting: numbers as numbers, then texts, then what is missing, in either direction.
const valueOf = (cell) => cell.dataset.value ?? cell.textContent.trim();
const kind = (cell) => {
  const text = valueOf(cell);
  return text === "" ? 3 : text === "nan" ? 2 : Number.isNaN(asNumber(text)) ? 1 : 0;
};
const asNumber = (text) => (text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text));
const compare = (a, b, sign) => {
  const order = kind(a) - kind(b);
  if (order !== 0) return order;
  if (kind(a) > 1) return 0;
  if (kind(a) === 1) return sign * valueOf(a).localeCompare(valueOf(b), "en", { numeric: true });
  const [x, y] = [asNumber(valueOf(a)), asNumber(valueOf(b))];
  return x === y ? 0 : sign * (x < y ? -1 : 1);
};
for (const table of document.querySelectorAll("table[data-table]")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => compare(a.cells[column], b.cells[column], ascending ? 1 : -1));
      table.tBodies[0].append(...rows);
    });
  });
}
// The legend: what is pressed is seen, the rest is faint; nothing pressed shows all.
const keys = [...document.querySelectorAll(".legend button")];
for (const key of keys) {
  key.addEventListener("click", () => {
    key.setAttribute("aria-pressed", String(key.getAttribute("aria-pressed") !== "true"));
    const chosen = new Set(keys.filter((one) => one.getAttribute("aria-pressed") === "true").map((one) => one.dataset.group));
    for (const curve of document.querySelectorAll('.panels g[id^="curve-"]')) {
      curve.classList.toggle("away", chosen.size > 0 && !chosen.has(curve.id.split("-")[3]));
    }
  });
}
