"use strict";

// Rows of the overview are arrays; these are the positions of their values.
const NAME = 0, STATUS = 1, GROUP = 2, PICTURES = 3, LENGTH = 4, FRAMES = 5, TRACKS = 6, COVERAGE = 7, CONFIDENCE = 8,
  SHARES = 9, REMARKS = 10, DETAIL = 11;
const PAGE_ROWS = 100, PRINTED_ROWS = 2000, SHOWN_THOUSANDTHS = 10, REMARKS_FILTER = "remarks";
const TEXT_KEYS = ["name", "group", "status"];
const WITHOUT_RESULT = ["failed", "not readable"];
const SVG = "http://www.w3.org/2000/svg";

const element = (id) => document.getElementById(id);
const data = JSON.parse(element("data").textContent);
const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
let rows = [], shownRows = PAGE_ROWS, sortKey = "", descending = false;

function create(name, properties, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

function createShape(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function percent(thousandths) {
  if (thousandths === null) return "–";
  return thousandths > 0 && thousandths < 10 ? `${(thousandths / 10).toFixed(1)} %` : `${Math.round(thousandths / 10)} %`;
}

function clock(seconds, tenths = false) {
  const total = tenths ? Math.round(seconds * 10) / 10 : Math.round(seconds);
  const minutes = Math.floor(total / 60), hours = Math.floor(minutes / 60);
  const rest = (total - 60 * minutes).toFixed(tenths ? 1 : 0).padStart(tenths ? 4 : 2, "0");
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

function plural(count, unit) {
  return `${count.toLocaleString("en")} ${unit}${count === 1 ? "" : "s"}`;
}

// Overview

function hasResult(row) {
  return !WITHOUT_RESULT.includes(row[STATUS]);
}

function describeShares(shares) {
  return data.labels.map((label, i) => [shares[i], label]).filter(([share]) => share > 0).sort((a, b) => b[0] - a[0])
    .map(([share, label]) => `${label} ${percent(share)}`).join(", ");
}

function createBar(shares) {
  const bar = createShape("svg", { class: "bar", width: "100%", height: 16, role: "img", "aria-label": describeShares(shares) });
  let offset = 0;
  shares.forEach((share, i) => {
    if (share <= 0) return;
    bar.append(createShape("rect", { class: `e${i}`, x: `${offset / 10}%`, width: `${share / 10}%`, height: 16 }));
    offset += share;
  });
  bar.dataset.tip = describeShares(shares).replaceAll(", ", "\n");
  return bar;
}

function nameCell(row) {
  const parts = row[NAME].split("/");
  const name = create("bdi", {}, ...parts.flatMap((part, i) => i < parts.length - 1 ? [`${part}/`, create("wbr", {})] : [part]));
  const cell = create("th", { scope: "row", role: "rowheader", className: "name" });
  cell.append(row[DETAIL] ? create("a", { href: `#r${row[DETAIL]}` }, name) : name);
  const chips = create("div", {});
  if (row[STATUS] !== "complete") chips.append(create("span", { className: "chip small-only", textContent: row[STATUS] }));
  if (hasResult(row)) {
    chips.append(...row[REMARKS].map((remark) => create("span", { className: "chip", textContent: remark })));
  } else {
    chips.append(create("span", { className: "share-value", textContent: row[REMARKS][0] }));
  }
  if (chips.childElementCount) cell.append(chips);
  return cell;
}

function lengthText(row) {
  if (!hasResult(row)) return "–";
  return row[PICTURES] ? plural(row[FRAMES], "picture") : clock(row[LENGTH]);
}

function expressionCell(row) {
  const cell = create("td", { role: "cell", className: "wide" });
  if (!row[SHARES].some((share) => share > 0)) return cell;
  cell.append(createBar(row[SHARES]));
  const chosen = element("expression").value;
  if (chosen) cell.append(create("div", { className: "share-value", textContent: `${data.labels[chosen]} ${percent(row[SHARES][chosen])}` }));
  return cell;
}

function createRow(row) {
  const cell = (className, textContent) => create("td", { role: "cell", className, textContent });
  const line = create("tr", { role: "row" }, nameCell(row));
  if (element("group")) line.append(create("td", { role: "cell", className: "group" }, create("bdi", { textContent: row[GROUP] < 0 ? "" : data.groups[row[GROUP]] })));
  line.append(
    cell("status", row[STATUS]), cell("number", lengthText(row)),
    cell("number minor", !hasResult(row) || row[PICTURES] ? "–" : row[TRACKS].toLocaleString("en")),
    cell("number minor", percent(row[COVERAGE])), cell("number minor", percent(row[CONFIDENCE])), expressionCell(row),
  );
  return line;
}

// Value of a row in the sorted column; null, for the numbers of a source without a result, sorts last.
function sortValue(row) {
  const chosen = element("expression").value;
  if (!hasResult(row) && !TEXT_KEYS.includes(sortKey)) return null;
  return {
    name: row[NAME], group: row[GROUP], status: row[STATUS], length: row[PICTURES] ? row[FRAMES] : row[LENGTH],
    tracks: row[TRACKS], coverage: row[COVERAGE], confidence: row[CONFIDENCE],
    share: chosen ? row[SHARES][chosen] : Math.max(...row[SHARES], 0),
  }[sortKey];
}

function compare(first, second) {
  if (first === null || second === null) return (first === null) - (second === null);
  const order = typeof first === "string" ? collator.compare(first, second) : first - second;
  return descending ? -order : order;
}

function matches(row) {
  const text = element("search").value.trim().toLowerCase(), expression = element("expression").value;
  const group = element("group")?.value ?? "", status = element("status").value;
  return (!text || row[NAME].toLowerCase().includes(text))
    && (!expression || row[SHARES][expression] >= SHOWN_THOUSANDTHS)
    && (!group || row[GROUP] === Number(group))
    && (!status || (status === REMARKS_FILTER ? row[REMARKS].length > 0 : row[STATUS] === status));
}

function showRows() {
  const shown = rows.slice(0, shownRows);
  document.querySelector("#overview tbody").replaceChildren(...shown.map(createRow));
  document.querySelector(".more").hidden = shown.length === rows.length;
  const part = rows.length === data.rows.length ? "" : ` of ${data.rows.length.toLocaleString("en")}`;
  const unit = data.rows.length === 1 ? "source" : "sources";
  const visible = shown.length < rows.length ? `, the first ${shown.length.toLocaleString("en")} are shown` : "";
  element("count").textContent = `${rows.length.toLocaleString("en")}${part} ${unit}${visible}`;
}

function update() {
  rows = data.rows.filter(matches);
  if (sortKey) {
    const values = new Map(rows.map((row) => [row, sortValue(row)]));
    rows.sort((a, b) => compare(values.get(a), values.get(b)));
  }
  const kept = new Set(rows.map((row) => row[DETAIL]));
  for (const detail of document.querySelectorAll(".recording")) detail.hidden = !kept.has(Number(detail.id.slice(1)));
  showRows();
}

function sortBy(key) {
  descending = sortKey === key ? !descending : !TEXT_KEYS.includes(key);
  sortKey = key;
  for (const header of document.querySelectorAll("#overview thead th")) {
    header.setAttribute("aria-sort", header.dataset.key !== key ? "none" : descending ? "descending" : "ascending");
  }
  update();
}

function fillSelect(id, options) {
  element(id)?.append(...options.map(([value, text]) => create("option", { value, textContent: text })));
}

function startOverview() {
  fillSelect("expression", data.labels.map((label, i) => [i, label]));
  fillSelect("group", data.groups.map((group, i) => [i, group]));
  const found = new Set(data.rows.map((row) => row[STATUS]));
  const states = ["complete", "no faces", "incomplete", ...WITHOUT_RESULT].filter((status) => found.has(status));
  fillSelect("status", states.map((status) => [status, status]));
  if (data.rows.some((row) => hasResult(row) && row[REMARKS].length)) fillSelect("status", [[REMARKS_FILTER, "with remarks"]]);
  const change = () => { shownRows = PAGE_ROWS; update(); };
  const form = document.querySelector("form.tools");
  form.addEventListener("input", change);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(change));
  for (const header of document.querySelectorAll("#overview thead th")) {
    header.setAttribute("aria-sort", "none");
    header.querySelector("button").addEventListener("click", () => sortBy(header.dataset.key));
  }
  element("more").addEventListener("click", () => { shownRows += PAGE_ROWS; showRows(); });
  element("all").addEventListener("click", () => { shownRows = Infinity; showRows(); });
  addEventListener("beforeprint", () => { shownRows = Math.max(shownRows, PRINTED_ROWS); showRows(); });
  update();
}

// Details

function openTarget() {
  const target = /^#r\d+$/.test(location.hash) ? document.querySelector(location.hash) : null;
  if (!target) return;
  target.open = true;
  target.querySelector("summary").focus();
  target.scrollIntoView();
}

function startDetails() {
  const details = [...document.querySelectorAll(".recording")];
  const setAll = (open) => { for (const detail of details) if (!detail.hidden) detail.open = open; };
  element("open-all")?.addEventListener("click", () => setAll(true));
  element("close-all")?.addEventListener("click", () => setAll(false));
  if (details.length === 1) details[0].open = true;
  addEventListener("hashchange", openTarget);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#r']");
    if (link && link.hash === location.hash) openTarget();
  });
  openTarget();
}

// Timelines: the paths contain the values, in thousandths of the length and twentieths of confidence.

function readPath(path) {
  const steps = [];
  let start = 0, height = 0;
  for (const [, command, first] of path.getAttribute("d").matchAll(/([MVH])(\d+)/g)) {
    const value = Number(first);
    if (command === "M") start = value;
    else if (command === "V") height = 20 - value;
    else { steps.push([start, value, height]); start = value; }
  }
  return steps;
}

function readLanes(timeline) {
  return [...timeline.querySelectorAll(".lane:not(.presence)")].map((lane) => ({
    name: lane.querySelector("span").textContent.toLowerCase(),
    runs: [...lane.querySelectorAll("path")].flatMap((path) => {
      const label = data.labels[path.getAttribute("class").slice(1)];
      return readPath(path).map(([start, end, height]) => ({ start, end, label, confidence: 5 * height }));
    }),
  }));
}

function describeMoment(timeline, lanes, position) {
  const unit = Math.min(999.5, Math.max(0, 1000 * position));
  const seconds = Number(timeline.dataset.start) + position * Number(timeline.dataset.length);
  const faces = [];
  for (const { name, runs } of lanes) {
    const run = runs.find(({ start, end }) => start <= unit && unit < end);
    if (run) faces.push(`${name}: ${run.label} ${run.confidence} %`);
  }
  return [clock(Math.max(0, seconds), Number(timeline.dataset.length) < 600), ...(faces.length ? faces : ["no face"])];
}

function startTimeline(timeline) {
  const cursor = timeline.querySelector(".cursor"), readout = timeline.parentElement.querySelector(".readout");
  const plot = timeline.querySelector(".lane svg");
  let lanes = null, position = 0;
  const move = (next) => {
    lanes ??= readLanes(timeline);
    position = Math.min(1, Math.max(0, next));
    const left = plot.getBoundingClientRect().left - timeline.getBoundingClientRect().left;
    cursor.hidden = false;
    cursor.style.left = `${left + position * plot.getBoundingClientRect().width - 1}px`;
    return describeMoment(timeline, lanes, position);
  };
  timeline.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const lines = move((event.clientX - box.left) / box.width);
    const shown = lines.length > 9 ? [...lines.slice(0, 9), `and ${plural(lines.length - 9, "more track")}`] : lines;
    showTip(shown.join("\n"), event.clientX, event.clientY);
  });
  timeline.addEventListener("pointerleave", () => { cursor.hidden = true; hideTip(); });
  timeline.addEventListener("focusout", () => { cursor.hidden = true; readout.textContent = ""; });
  timeline.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.1 : 0.01;
    const next = { ArrowRight: position + step, ArrowLeft: position - step, Home: 0, End: 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    readout.textContent = move(next).join(" · ");
  });
}

// Tooltips

function showTip(text, x, y) {
  const tip = element("tip");
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 12 : y + 18}px`;
}

function hideTip() {
  element("tip").hidden = true;
}

function startTips() {
  document.addEventListener("pointermove", (event) => {
    const bar = event.target.closest?.("[data-tip]");
    if (bar) showTip(bar.dataset.tip, event.clientX, event.clientY);
    else if (!event.target.closest?.(".timeline")) hideTip();
  });
  addEventListener("scroll", hideTip, { passive: true });
}

startOverview();
startDetails();
startTips();
document.querySelectorAll(".timeline").forEach(startTimeline);
