"use strict";

const SPAN_S = 60, ROW = 22, GAP = 4, NUMBERS = 34, AXIS = 18, MOST_ROWS = 8;
// As in the boxes of the picture.
const COLOURS = {
  neutral: "#c8c8c8", happy: "#ffc850", surprise: "#3cb4ff", sad: "#3c78dc", angry: "#eb4646", disgust: "#3caa5a",
  fear: "#b45ac8", contempt: "#aa9682",
};
const OTHER = "#8a8f98";
const element = (id) => document.getElementById(id);
const colour = (label) => COLOURS[label] || OTHER;
let status = null, arrived = 0;

function made(name, className, text) {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  return node;
}

function showState(state, detail) {
  const live = state === "live";
  element("state").textContent = state;
  element("state").classList.toggle("live", live);
  element("trouble").hidden = live || !detail;
  element("trouble").textContent = detail;
}

function showFaces(faces) {
  element("nobody").hidden = faces.length > 0;
  element("faces").replaceChildren(...faces.map((face) => {
    const item = made("li", "", ""), bar = made("div", "bar", ""), fill = made("i", "", "");
    fill.style.width = `${100 * face.confidence}%`;
    fill.style.background = colour(face.label);
    bar.append(fill);
    item.append(
      made("span", "number", face.track), made("span", "label", face.label),
      made("span", "share", `${Math.round(100 * face.confidence)} %`), bar,
    );
    return item;
  }));
}

function showStatus(told) {
  status = told;
  arrived = performance.now();
  showState(told.state, told.detail);
  element("source").textContent = told.source;
  element("fps").textContent = told.fps.toFixed(1);
  element("delay").textContent = told.delay_ms === null ? "–" : `${Math.round(told.delay_ms)} ms`;
  for (const name of ["frames", "dropped", "reconnects"]) {
    element(name).textContent = told[name] === null ? "–" : told[name].toLocaleString("en");
  }
  const legend = element("legend");
  if (legend.childElementCount !== told.labels.length) {
    legend.replaceChildren(...told.labels.map((label) => {
      const item = made("li", "", label), square = made("i", "", "");
      square.style.background = colour(label);
      item.prepend(square);
      return item;
    }));
  }
  drawStrip();
}

function drawStrip() {
  if (!status) return;
  const canvas = element("strip"), scale = window.devicePixelRatio || 1;
  // The youngest faces, where there are many.
  const tracks = status.tracks.slice(-MOST_ROWS);
  const wide = canvas.clientWidth, high = Math.max(1, tracks.length) * (ROW + GAP) + AXIS;
  canvas.style.height = `${high}px`;
  canvas.width = wide * scale;
  canvas.height = high * scale;
  const pen = canvas.getContext("2d"), faint = getComputedStyle(document.body).getPropertyValue("--faint");
  pen.scale(scale, scale);
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  // Between two reports the strip moves on, as long as frames come.
  const late = status.fps > 0 ? Math.min(1.5, (performance.now() - arrived) / 1000) : 0;
  const now = status.time_s + late, perSecond = (wide - NUMBERS) / SPAN_S;
  const x = (time) => NUMBERS + Math.max(0, SPAN_S - (now - time)) * perSecond;
  tracks.forEach((track, row) => {
    const y = row * (ROW + GAP);
    pen.fillStyle = faint;
    pen.fillText(track.track, 2, y + ROW / 2);
    for (const [from, to, label] of track.spans) {
      pen.fillStyle = colour(label);
      pen.fillRect(x(from), y, Math.max(1, x(to) - x(from)), ROW);
    }
  });
  pen.fillStyle = faint;
  for (const ago of [60, 45, 30, 15, 0]) {
    const text = ago ? `${ago} s` : "now", at = NUMBERS + (SPAN_S - ago) * perSecond;
    pen.textAlign = ago === 60 ? "left" : ago ? "center" : "right";
    pen.fillText(text, at, high - AXIS / 2);
  }
  pen.textAlign = "left";
}

function listen() {
  const events = new EventSource("events");
  // A picture whose connection broke stays as it was: ask for it anew.
  events.onopen = () => { element("stream").src = `stream.mjpg?${Date.now()}`; };
  events.onmessage = (event) => showFaces(JSON.parse(event.data).faces);
  events.addEventListener("status", (event) => showStatus(JSON.parse(event.data)));
  events.addEventListener("end", () => showState("ended", "The run has ended; this page waits for the next one."));
  events.onerror = () => {
    if (element("state").textContent !== "ended") showState("unreachable", "The run cannot be reached; trying again.");
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
}

// The token is in a cookie by now; it need not stay in the address.
if (location.search) history.replaceState(null, "", location.pathname);
setInterval(drawStrip, 250);
window.addEventListener("resize", drawStrip);
listen();
