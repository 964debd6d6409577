"use strict";
const table = document.getElementById("table"), body = table.tBodies[0], rows = [...body.rows];
const heads = [...table.tHead.rows[0].cells], filter = document.getElementById("filter");
const only = document.getElementById("only"), count = document.getElementById("count");
const number = new Map(rows.map((row, place) => [row, place]));
const key = (row, column) => row.cells[column] ? row.cells[column].textContent.trim() : "";
const names = new Intl.Collator(undefined, { numeric: true });

heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") === "ascending";
  heads.forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const sign = down ? -1 : 1;
  const compare = column < 2 ? (a, b) => names.compare(a[0], b[0]) : (a, b) => a[0] - b[0];
  const keyed = rows.map(row => [column < 2 ? key(row, column) : Number(key(row, column)), row]);
  keyed.sort((a, b) => sign * compare(a, b) || number.get(a[1]) - number.get(b[1]));
  body.append(...keyed.map(pair => pair[1]));
}));

function choose() {
  const wanted = filter.value.trim().toLowerCase();
  let shown = 0;
  for (const row of rows) {
    row.hidden = !(row.cells[0].textContent.toLowerCase().includes(wanted) && (!only.checked || row.className === "look"));
    shown += !row.hidden;
  }
  count.textContent = `${shown} of ${rows.length}`;
}
filter.addEventListener("input", choose);
only.addEventListener("change", choose);
document.querySelector(".filter").addEventListener("submit", event => event.preventDefault());
choose();

const data = JSON.parse(document.getElementById("data").textContent), dialog = document.getElementById("student");
function made(tag, text, kind) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}
function open() {
  const found = /^#s(\d+)$/.exec(location.hash);
  if (!found || !data.students[found[1]]) return dialog.open && dialog.close();
  const row = rows.find(row => number.get(row) === Number(found[1])), [note, seconds, passed, failed, ratios] = data.students[found[1]];
  document.getElementById("who").replaceChildren(made("bdi", key(row, 0)), ` · ${key(row, 2)} points`);
  document.getElementById("note").textContent = `${key(row, 1)} in ${seconds} s. ${note}`;
  const said = new Map(failed.map(([index, message]) => [index, data.messages[message]])), done = new Set(passed);
  const cases = document.getElementById("cases");
  cases.replaceChildren();
  let list = null, latest = null;
  data.cases.forEach(([question, name, hidden, points], index) => {
    if (!done.has(index) && !said.has(index)) return;
    if (question !== latest) {
      latest = question;
      cases.append(made("h3", question), list = document.createElement("ul"));
    }
    const item = made("li", "");
    const verdict = done.has(index) ? "passed" : "failed";
    item.append(made("span", verdict, verdict), ` ${name} (${points}) `);
    if (index in ratios) item.append(made("span", `${ratios[index]} times the reference`, "tag"), " ");
    if (hidden) item.append(made("span", "hidden", "tag"));
    if (said.has(index)) item.append(made("pre", said.get(index)));
    list.append(item);
  });
  if (!dialog.open) dialog.showModal();
}
window.addEventListener("hashchange", open);
dialog.addEventListener("close", () => { if (/^#s\d+$/.test(location.hash)) history.replaceState(null, "", "#students"); });
open();
