"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const KEYS = "123456789qwertyuiop";
const WINDOW = 60;
const REMOVED = "";
const byId = (id) => document.getElementById(id);
const faces = data.faces.map(([file, label, confidence, picture]) => ({ file, label, confidence, picture, answer: null }));
const store = `edgeinfer-label-${data.id}`;
let queue = [];
let position = 0;
let history = [];

function load() {
  try {
    const saved = JSON.parse(localStorage.getItem(store) || "{}");
    for (const face of faces) if (Object.hasOwn(saved, face.file)) face.answer = saved[face.file];
  } catch (error) { /* storage is disabled or damaged: start without answers */ }
}

function remember() {
  const saved = Object.fromEntries(faces.filter((f) => f.answer !== null).map((f) => [f.file, f.answer]));
  try { localStorage.setItem(store, JSON.stringify(saved)); } catch (error) { /* full or disabled: the CSV still works */ }
}

const current = (face) => (face.answer === null ? face.label : face.answer);
const labelText = (face) => current(face) || (face.answer === REMOVED ? "removed" : "no label");

function matches(face) {
  const label = byId("class").value, state = byId("state").value;
  if (label === "none" ? current(face) !== "" || face.answer === REMOVED : label !== "all" && current(face) !== label.slice(1)) return false;
  if (state === "open") return face.answer === null;
  if (state === "changed") return face.answer !== null && face.answer !== face.label && face.answer !== REMOVED;
  return state !== "removed" || face.answer === REMOVED;
}

function filter() {
  queue = faces.filter(matches);
  if (byId("order").value === "confidence") queue.sort((a, b) => a.confidence - b.confidence);
  position = Math.max(0, queue.findIndex((face) => face.answer === null));
  show();
}

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function show() {
  const face = queue[position];
  byId("empty").hidden = Boolean(face);
  byId("work").hidden = !face;
  const reviewed = faces.filter((f) => f.answer !== null).length;
  const changed = faces.filter((f) => f.answer !== null && f.answer !== f.label && f.answer !== REMOVED).length;
  const removed = faces.filter((f) => f.answer === REMOVED).length;
  byId("progress").textContent = `${reviewed} of ${faces.length} reviewed, ${changed} changed, ${removed} removed`;
  byId("undo").disabled = history.length === 0;
  if (face) {
    byId("face").src = face.picture;
    byId("face").alt = `Face ${position + 1} of ${queue.length}`;
    byId("answer").textContent = `${position + 1} of ${queue.length}: ${labelText(face)}` +
      (face.label ? ` (model: ${face.label}, ${face.confidence} %)` : "");
    byId("file").textContent = face.file;
    byId("confirm").disabled = !current(face);
    data.labels.forEach((label, i) => byId("labels").children[i].setAttribute("aria-pressed", String(label === current(face))));
  }
  grid();
}

function grid() {
  const start = Math.max(0, Math.min(position - WINDOW / 4, queue.length - WINDOW) | 0);
  byId("grid").replaceChildren(...queue.slice(start, start + WINDOW).map((face, offset) => {
    const item = element("li"), button = element("button", undefined, face.answer === null ? "" : face.answer === REMOVED ? "removed" : "done");
    const picture = element("img"), name = element("bdi", labelText(face), "name");
    picture.src = face.picture;
    picture.alt = "";
    button.type = "button";
    const tone = data.colours[data.labels.indexOf(current(face))];
    if (tone) name.style.setProperty("--tone", tone);
    button.setAttribute("aria-label", `Face ${start + offset + 1}: ${labelText(face)}`);
    button.setAttribute("aria-current", String(start + offset === position));
    button.addEventListener("click", () => { position = start + offset; show(); });
    button.append(picture, name);
    item.append(button);
    return item;
  }));
}

function move(step) {
  position = Math.max(0, Math.min(queue.length - 1, position + step));
  show();
}

function answer(value) {
  const face = queue[position];
  if (!face) return;
  history.push({ face, answer: face.answer, queue, position });
  face.answer = value;
  remember();
  move(1);
}

function undo() {
  const last = history.pop();
  if (!last) return;
  last.face.answer = last.answer;
  ({ queue, position } = last);
  remember();
  show();
}

const quoted = (text) => (/[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function save() {
  const rows = faces.filter((f) => f.answer !== null).map((f) => `${quoted(f.file)},${quoted(f.answer)}\n`);
  const link = element("a");
  link.href = URL.createObjectURL(new Blob(["file,label\n", ...rows], { type: "text/csv" }));
  link.download = data.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const confirmLabel = () => { if (queue[position] && current(queue[position])) answer(current(queue[position])); };
const ACTIONS = {
  ArrowRight: () => move(1), ArrowLeft: () => move(-1), Enter: confirmLabel, " ": confirmLabel,
  Delete: () => answer(REMOVED), Backspace: () => answer(REMOVED), x: () => answer(REMOVED), z: undo,
  Home: () => move(-queue.length), End: () => move(queue.length),
};

function pressed(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.altKey || event.target.matches("select")) return;
  if (event.ctrlKey || event.metaKey) {
    if (key === "s") { event.preventDefault(); save(); }
    if (key === "z") { event.preventDefault(); undo(); }
    return;
  }
  if ((key === "Enter" || key === " ") && event.target.matches("button")) return;
  const label = KEYS.indexOf(key);
  if (label >= 0 && label < data.labels.length) answer(data.labels[label]);
  else if (Object.hasOwn(ACTIONS, key)) ACTIONS[key]();
  else return;
  event.preventDefault();
}

function option(value, text) {
  const made = element("option", text);
  made.value = value;
  return made;
}

function build() {
  byId("class").append(option("all", "all"), ...data.labels.map((label) => option(`=${label}`, label)), option("none", "no label"));
  data.labels.forEach((label, i) => {
    const button = element("button"), dot = element("i", undefined, "dot");
    button.type = "button";
    dot.style.background = data.colours[i];
    button.append(dot, element("span", label));
    if (KEYS[i]) button.append(element("kbd", KEYS[i].toUpperCase()));
    button.addEventListener("click", () => answer(label));
    byId("labels").append(button);
  });
  const clicks = { previous: () => move(-1), next: () => move(1), confirm: confirmLabel, remove: () => answer(REMOVED), undo, save };
  for (const [id, action] of Object.entries(clicks)) {
    byId(id).addEventListener("click", () => { action(); if (id !== "save") byId(id).blur(); });
  }
  for (const id of ["class", "state", "order"]) byId(id).addEventListener("change", filter);
  document.addEventListener("keydown", pressed);
}

load();
build();
filter();
