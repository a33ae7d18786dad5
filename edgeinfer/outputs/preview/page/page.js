"use strict";

// Lengths in CSS pixels.
const DURATION_S = 60, ROW_HEIGHT = 22, ROW_GAP = 4, LABEL_WIDTH = 34, AXIS_HEIGHT = 18, MAX_ROWS = 8;
const element = (id) => document.getElementById(id);
// The colours of the bounding boxes in the picture.
const colour = (label) => status?.colours[label] || "#8a8f98";
let status = null, statusReceivedMs = 0;
// Last sentence of the run, received before it closed the connection.
let farewell = "";

function createElement(name, className, text) {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  return node;
}

function showState(state, detail) {
  element("state").textContent = state;
  element("state").className = state;
  element("detail").hidden = state === "live" || !detail;
  element("detail").textContent = detail;
}

function showFaces(faces) {
  element("no-faces").hidden = faces.length > 0;
  element("faces").replaceChildren(...faces.map((face) => {
    const item = createElement("li", "", ""), bar = createElement("div", "bar", ""), fill = createElement("i", "", "");
    fill.style.width = `${100 * face.confidence}%`;
    fill.style.background = colour(face.label);
    bar.append(fill);
    item.append(
      createElement("span", "track", face.track), createElement("span", "label", face.label),
      createElement("span", "confidence", `${Math.round(100 * face.confidence)} %`), bar,
    );
    return item;
  }));
}

function showStatus(newStatus) {
  status = newStatus;
  statusReceivedMs = performance.now();
  showState(status.state, status.detail);
  element("source").textContent = status.source;
  element("fps").textContent = status.fps.toFixed(1);
  element("delay").textContent = status.delay_ms === null ? "–" : `${Math.round(status.delay_ms)} ms`;
  for (const name of ["frames", "dropped", "reconnects"]) {
    element(name).textContent = status[name] === null ? "–" : status[name].toLocaleString("en");
  }
  const legend = element("legend");
  if (legend.childElementCount !== status.labels.length) {
    legend.replaceChildren(...status.labels.map((label) => {
      const item = createElement("li", "", label), square = createElement("i", "", "");
      square.style.background = colour(label);
      item.prepend(square);
      return item;
    }));
  }
  drawTimeline();
}

function drawTimeline() {
  if (!status) return;
  const canvas = element("timeline"), scale = window.devicePixelRatio || 1;
  // Only the newest tracks if there are too many.
  const tracks = status.tracks.slice(-MAX_ROWS);
  const width = canvas.clientWidth;
  const height = Math.max(1, tracks.length) * (ROW_HEIGHT + ROW_GAP) + AXIS_HEIGHT;
  canvas.style.height = `${height}px`;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext("2d");
  const textColour = getComputedStyle(document.body).getPropertyValue("--muted");
  context.scale(scale, scale);
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.strokeStyle = textColour;
  context.lineWidth = 0.5;
  const isOver = element("state").textContent === "ended";
  // Between two status events the timeline scrolls on while frames arrive.
  const elapsed = status.fps > 0 && !isOver ? Math.min(1.5, (performance.now() - statusReceivedMs) / 1000) : 0;
  const now = status.time_s + elapsed, pixelsPerSecond = (width - LABEL_WIDTH) / DURATION_S;
  const x = (time) => LABEL_WIDTH + Math.max(0, DURATION_S - (now - time)) * pixelsPerSecond;
  tracks.forEach((track, row) => {
    const y = row * (ROW_HEIGHT + ROW_GAP);
    context.fillStyle = textColour;
    context.fillText(track.track, 2, y + ROW_HEIGHT / 2);
    for (const [from, to, label] of track.spans) {
      context.fillStyle = colour(label);
      context.fillRect(x(from), y, Math.max(1, x(to) - x(from)), ROW_HEIGHT);
      context.strokeRect(x(from), y + 0.5, Math.max(1, x(to) - x(from)), ROW_HEIGHT - 1);
    }
  });
  context.fillStyle = textColour;
  for (const ago of [60, 45, 30, 15, 0]) {
    const text = ago ? `${ago} s` : isOver ? "end" : "now";
    const position = LABEL_WIDTH + (DURATION_S - ago) * pixelsPerSecond;
    context.textAlign = ago === 60 ? "left" : ago ? "center" : "right";
    context.fillText(text, position, height - AXIS_HEIGHT / 2);
  }
  context.textAlign = "left";
}

function connect() {
  const events = new EventSource("events");
  // An image does not reconnect by itself: request the stream again.
  events.onopen = () => {
    farewell = "";
    element("stream").src = `stream.mjpg?${Date.now()}`;
  };
  events.onmessage = (event) => showFaces(JSON.parse(event.data).faces);
  events.addEventListener("status", (event) => showStatus(JSON.parse(event.data)));
  events.addEventListener("end", (event) => {
    farewell = JSON.parse(event.data).detail;
    showState("ended", farewell);
  });
  events.onerror = () => {
    if (!farewell) showState(...lostState());
    if (events.readyState === EventSource.CLOSED) setTimeout(reconnect, 2000);
  };
}

function lostState() {
  if (!status) return ["unreachable", "Cannot connect to the run; retrying."];
  if (status.state === "ended") return ["ended", `${status.detail} The connection is lost; retrying.`];
  return ["unreachable", "The connection to the run is lost; retrying."];
}

async function reconnect() {
  // Repeated requests with an outdated token would block this address: show the token form instead.
  const response = await fetch("healthz").catch(() => null);
  if (response && [401, 429].includes(response.status)) location.reload();
  else connect();
}

// The token is in a cookie now; remove it from the address bar.
if (location.search) history.replaceState(null, "", location.pathname);
setInterval(drawTimeline, 250);
window.addEventListener("resize", drawTimeline);
connect();
