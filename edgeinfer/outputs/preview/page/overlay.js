"use strict";

// Height of a line of text as a share of the frame's height, and its smallest size in CSS pixels.
const TEXT_SHARE = 0.04, MIN_TEXT = 11;
// As in annotated copies, a face below this confidence is dashed.
const LOW_CONFIDENCE = 0.5;
const element = document.getElementById("frame");
let colours = {}, size = null;

// Place the largest area with the frame's proportions in the middle of the page.
function fit() {
  if (!size) return;
  const scale = Math.min(window.innerWidth / size[0], window.innerHeight / size[1]);
  const width = size[0] * scale, height = size[1] * scale;
  Object.assign(element.style, {
    width: `${width}px`, height: `${height}px`, left: `${(window.innerWidth - width) / 2}px`,
    top: `${(window.innerHeight - height) / 2}px`, fontSize: `${Math.max(MIN_TEXT, TEXT_SHARE * height)}px`,
  });
}

// Black or white, whichever has the higher contrast (relative luminance of WCAG 2.2).
function textColour(colour) {
  const channels = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255);
  const [r, g, b] = channels.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

function showFace(face) {
  const [x, y, w, h] = face.box, colour = colours[face.label] || "#666666";
  const box = document.createElement("div"), label = document.createElement("div");
  box.className = "face";
  box.classList.toggle("faint", face.label === "unknown" || face.confidence < LOW_CONFIDENCE);
  // The label moves below a box at the upper edge, and ends at the box's right edge in the right half.
  box.classList.toggle("top", y < 1.5 * TEXT_SHARE * size[1]);
  box.classList.toggle("right", x + w / 2 > size[0] / 2);
  Object.assign(box.style, {
    left: `${(100 * x) / size[0]}%`, top: `${(100 * y) / size[1]}%`, width: `${(100 * w) / size[0]}%`,
    height: `${(100 * h) / size[1]}%`,
  });
  box.style.setProperty("--colour", colour);
  box.style.setProperty("--text", textColour(colour));
  box.dataset.track = face.track;
  label.className = "label";
  label.textContent = `${face.label} ${Math.round(100 * face.confidence)} %`;
  box.append(label);
  return box;
}

function showFrame(frame) {
  if (!size || size[0] !== frame.size[0] || size[1] !== frame.size[1]) {
    size = frame.size;
    fit();
  }
  element.replaceChildren(...frame.faces.map(showFace));
}

const clear = () => element.replaceChildren();

function connect() {
  const events = new EventSource("api/events");
  events.addEventListener("status", (event) => {
    const status = JSON.parse(event.data);
    colours = status.colours;
    if (status.state !== "live") clear();
  });
  events.addEventListener("frame", (event) => showFrame(JSON.parse(event.data)));
  events.addEventListener("end", clear);
  events.onerror = () => {
    clear();
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 5000);
  };
}

// The token is in a cookie now; remove it from the address bar.
if (location.search) history.replaceState(null, "", location.pathname);
window.addEventListener("resize", fit);
connect();
