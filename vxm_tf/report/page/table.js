"use strict";
// Tables whose headings sort them: numbers by size with those that are missing last, names by letter.

function sortBy(table, column, upwards) {
  const body = table.tBodies[0];
  const key = (row) => row.cells[column].textContent;
  const compare = (a, b) => {
    const x = key(a), y = key(b);
    if (column === 0) return upwards ? x.localeCompare(y) : y.localeCompare(x);
    const numbers = [parseFloat(x), parseFloat(y)];
    if (numbers.some(Number.isNaN)) return Number.isNaN(numbers[0]) - Number.isNaN(numbers[1]);
    return upwards ? numbers[0] - numbers[1] : numbers[1] - numbers[0];
  };
  body.append(...[...body.rows].sort(compare));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
    const upwards = heading.getAttribute("aria-sort") !== "ascending";
    headings.forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", upwards ? "ascending" : "descending");
    sortBy(table, column, upwards);
  }));
}
