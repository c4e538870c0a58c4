"use strict";
// Sorting, the interval switch, light and dark, and the sample browser. Text enters the page as text only.

const byId = (id) => document.getElementById(id);

function make(name, options = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (key === "text") node.textContent = value;
    else if (value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// Light and dark: the system decides until the button is used.
const root = document.documentElement;
function remembered() { try { return localStorage.getItem("visor-theme"); } catch { return null; } }
if (remembered()) root.dataset.theme = remembered();
byId("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("visor-theme", root.dataset.theme); } catch { /* a file opened without storage */ }
});

byId("intervals").addEventListener("change", (event) => {
  document.body.classList.toggle("plain", !event.target.checked);
});

// Tables: best first, then worst first, then as printed. Empty cells stay last. A row without a name belongs to the
// row above it and moves with it.
function blocksOf(body) {
  const blocks = [];
  for (const row of body.rows) {
    if (blocks.length && row.cells[0].dataset.sort === undefined) blocks.at(-1).push(row);
    else blocks.push([row]);
  }
  return blocks;
}

function sortBy(header) {
  const body = header.closest("table").tBodies[0];
  const blocks = blocksOf(body);
  blocks.forEach(([row], place) => { row.dataset.place ??= place; });
  const textual = header.dataset.kind === "text";
  const order = textual ? ["ascending", "descending", "none"] : ["descending", "ascending", "none"];
  const next = order[(order.indexOf(header.getAttribute("aria-sort")) + 1) % 3];
  for (const other of header.parentElement.children) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", next);
  const column = header.cellIndex;
  const sign = next === "ascending" ? 1 : -1;
  blocks.sort(([first], [second]) => {
    const back = first.dataset.place - second.dataset.place;
    if (next === "none") return back;
    const [a, b] = [first.cells[column].dataset.sort, second.cells[column].dataset.sort];
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined) || back;
    return sign * (textual ? a.localeCompare(b, "en", { numeric: true }) : Number(a) - Number(b)) || back;
  });
  body.append(...blocks.flat());
}
for (const header of document.querySelectorAll("th[aria-sort]")) {
  header.querySelector("button").addEventListener("click", () => sortBy(header));
}

// Links to a folded table unfold it.
function unfold() {
  let target = null;
  try { target = byId(decodeURIComponent(location.hash.slice(1))); } catch { return; }
  const folded = target && target.closest("details");
  if (folded) folded.open = true;
}
addEventListener("hashchange", unfold);
unfold();

// Samples.
const data = JSON.parse(byId("data").textContent);
const PAGE = 24;
const state = { board: 0, task: "", method: "", result: "", configuration: "", words: "", page: 0 };

function isRight(answer) { return answer.score >= data.right; }

function matches(sample) {
  if (state.task !== "" && sample.task !== Number(state.task)) return false;
  const chosen = state.method === "" ? sample.answers : sample.answers.filter((one) => one.method === Number(state.method));
  if (!chosen.length) return false;
  if (state.configuration && !chosen.some((one) => one.configuration === state.configuration)) return false;
  if (state.result === "right" && !chosen.every(isRight)) return false;
  if (state.result === "wrong" && chosen.some(isRight)) return false;
  if (state.result === "disagree" && new Set(sample.answers.map(isRight)).size < 2) return false;
  if (!state.words) return true;
  const where = [sample.question, ...sample.references, ...sample.answers.map((one) => one.text)];
  return where.join("\n").toLowerCase().includes(state.words.toLowerCase());
}

function picker(label, key, options) {
  const select = make("select", { id: `filter-${key}`, name: key });
  for (const [value, text] of options) select.append(make("option", { value, text }));
  select.value = state[key];
  if (select.selectedIndex < 0) { select.selectedIndex = 0; state[key] = select.value; }
  select.addEventListener("change", () => {
    state[key] = key === "board" ? Number(select.value) : select.value;
    if (key === "board") Object.assign(state, { task: "", method: "", configuration: "" });
    state.page = 0;
    if (key === "board" || key === "method") filters();
    show();
  });
  return make("label", {}, label, select);
}

function filters() {
  const board = data.boards[state.board];
  const method = state.method === "" ? null : Number(state.method);
  const found = new Set();
  for (const sample of board.samples) {
    for (const one of sample.answers) if (one.configuration && (method === null || one.method === method)) found.add(one.configuration);
  }
  const configurations = [...found].sort((a, b) => a.split(",").length - b.split(",").length || a.localeCompare(b, "en", { numeric: true }));
  if (!found.has(state.configuration)) state.configuration = "";
  const focused = document.activeElement && document.activeElement.id;
  const words = make("input", { type: "search", id: "filter-words", placeholder: "in question or answer" });
  words.value = state.words;
  words.addEventListener("input", () => { state.words = words.value; state.page = 0; show(); });
  byId("filters").replaceChildren(...[
    data.boards.length > 1 ? picker("Suite", "board", data.boards.map((one, place) => [place, one.title])) : null,
    picker("Task", "task", [["", "all tasks"], ...board.tasks.map((task, place) => [place, task.group ? `${task.name} (${task.group})` : task.name])]),
    picker("Method", "method", [["", "all methods"], ...board.methods.map((one, place) => [place, one.name])]),
    picker("Result", "result", [
      ["", "right or wrong"], ["right", method === null ? "all right" : "right"],
      ["wrong", method === null ? "all wrong" : "wrong"], ["disagree", "methods disagree"],
    ]),
    configurations.length ? picker("Configuration", "configuration", [["", "any"], ...configurations.map((one) => [one, one])]) : null,
    make("label", {}, "Words", words),
  ].filter(Boolean));
  if (focused && byId(focused)) byId(focused).focus();
}

function verdict(answer) {
  const [kind, sign] = answer.score >= 1 ? ["right", "\u2713"] : answer.score > 0 ? ["partly", answer.score.toFixed(2)] : ["wrong", "\u2717"];
  const label = kind === "partly" ? `partly right, ${sign}` : kind;
  return make("td", { class: "mark" }, make("span", { class: `verdict ${kind}`, text: sign, role: "img", "aria-label": label }));
}

function spent(answer) {
  if (answer.gflops === undefined) return make("td", { text: "unknown" });
  const saving = answer.saving && answer.saving !== 1 ? make("span", { class: "saving", text: ` ${answer.saving.toFixed(1)}\u00d7 less` }) : null;
  const layers = answer.configuration ? make("small", { text: `layers ${answer.configuration}` }) : null;
  return make("td", {}, `${answer.gflops}`, saving, layers);
}

function answers(board, sample) {
  const rows = sample.answers.map((one) => {
    const method = board.methods[one.method];
    const dot = make("span", { class: "dot" });
    dot.style.setProperty("--dot", method.colour);
    return make("tr", { class: String(one.method) === state.method ? "chosen" : null },
      make("th", { scope: "row", class: "text" }, dot, method.name),
      verdict(one),
      make("td", { class: "text", dir: "auto", text: one.text === "" ? "(empty)" : one.text }),
      spent(one));
  });
  const head = make("tr", {},
    make("th", { scope: "col", class: "text", text: "method" }),
    make("th", { scope: "col", class: "mark" }, make("span", { class: "unseen", text: "verdict" })),
    make("th", { scope: "col", class: "text", text: "answer" }),
    make("th", { scope: "col", text: "GFLOPs" }));
  return make("div", { class: "answers", tabindex: 0, role: "region", "aria-label": `Answers to ${sample.question}` },
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function pictures(sample, task) {
  if (!sample.images.length) return [];
  return sample.images.map((place) => {
    if (place < 0) return make("div", { class: "missing", text: "image not included" });
    const image = make("img", { src: data.images[place], alt: `Image of ${task.name} ${sample.id}`, loading: "lazy" });
    image.addEventListener("load", () => image.classList.toggle("small", Math.max(image.naturalWidth, image.naturalHeight) <= 224));
    return image;
  });
}

function card(board, sample) {
  const task = board.tasks[sample.task];
  const where = [task.name, sample.id, sample.template].filter(Boolean).join(" \u00b7 ");
  const more = sample.more ? ` and ${sample.more} more` : "";
  return make("li", {},
    make("div", { class: "question" }, ...pictures(sample, task), make("div", { class: "ask" },
      make("p", { class: "where", text: where }),
      make("p", { class: "prompt", dir: "auto", text: sample.question }),
      make("p", { class: "reference" }, "Reference: ", make("b", { dir: "auto", text: sample.references.join(" | ") + more })))),
    answers(board, sample));
}

function show() {
  const board = data.boards[state.board];
  const found = board.samples.filter(matches);
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  state.page = Math.min(state.page, pages - 1);
  const start = state.page * PAGE;
  const shown = found.slice(start, start + PAGE);
  const range = shown.length ? `${start + 1} to ${start + shown.length} of ` : "";
  byId("count").textContent = `${range}${found.length} ${found.length === 1 ? "sample" : "samples"} of ${board.samples.length} on this page`;
  byId("cards").replaceChildren(...shown.map((sample) => card(board, sample)));
  byId("previous").disabled = state.page === 0;
  byId("next").disabled = state.page >= pages - 1;
}

function turn(step) {
  state.page += step;
  show();
  byId("samples").scrollIntoView();
}

if (data.boards.length) {
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  filters();
  show();
} else {
  byId("samples").hidden = true;
}
