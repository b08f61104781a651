"""Style and script of the demo page, which are written into it: the page asks for nothing from outside."""

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --panel: #f5f6f8; --line: #d9dde3; --text: #1d232b; --soft: #5b6673;
  --link: #0b62a8; --bad: #a32020; --c0: #2f7fbf; --c1: #d9822b; --c2: #3a9a63; --c3: #9a4fb0; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181d; --panel: #1e242b; --line: #343d48; --text: #e4e8ee;
  --soft: #9aa6b4; --link: #79b8f0; --bad: #ff8f8f; --c0: #6db3ea; --c1: #f0a95c; --c2: #6cc995; --c3: #c78fdb; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem;
  background: var(--ground); color: var(--text); }
h1 { margin: 0; } h2 { margin: 3.5rem 0 .5rem; padding-top: 1rem; border-top: 1px solid var(--line); }
a { color: var(--link); } .soft, figcaption { color: var(--soft); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } td.number { text-align: right; }
td.text { white-space: normal; }
dl { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; }
dl div { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .6rem 1rem;
  display: flex; flex-direction: column-reverse; }
dt { color: var(--soft); font-size: .85rem; } dd { margin: 0; font-size: 1.5rem; font-weight: 600; }
.figures { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
figure { margin: 0; max-width: 100%; flex: 0 1 auto; } figure.wide, .sounds { flex: 1 1 100%; }
figcaption { font-size: .9rem; margin-top: .4rem; width: 0; min-width: 100%; }
img { display: block; max-width: 100%; max-height: 32rem; background: #fff;
  border: 1px solid var(--line); border-radius: 6px; }
.sounds { display: flex; flex-wrap: wrap; gap: 1rem 1.5rem; align-items: center; padding: 1rem;
  background: var(--panel); border: 1px solid var(--line); border-radius: 8px; }
.sounds .players { display: grid; gap: 1rem; flex: 1 1 18rem; } .sounds > figure { flex: 2 1 24rem; }
audio { width: 100%; min-width: 15rem; }
.clouds { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: .8rem; }
canvas { width: 100%; aspect-ratio: 1; cursor: grab; touch-action: pan-y; border-radius: 6px;
  border: 1px solid var(--line); background: var(--panel); } canvas:active { cursor: grabbing; }
svg.curves { width: 100%; max-width: 44rem; } svg text { fill: var(--soft); font-size: 12px; }
.rule { stroke: var(--line); } .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); }
.commands { position: relative; margin-top: 1.5rem; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .9rem; margin: .3rem 0;
  overflow-x: auto; font-size: .85rem; }
button { position: absolute; right: .5rem; top: 0; font: inherit; font-size: .8rem; padding: .1rem .7rem;
  cursor: pointer; color: var(--text); background: var(--ground); border: 1px solid var(--line); border-radius: 6px; }
"""

# A cloud is (N, 3) little-endian int16 in base64, 32767 being the farthest coordinate of any point from the centre.
SCRIPT = """
"use strict";
const TONES = [[41, 56, 115], [38, 115, 158], [64, 168, 158], [237, 173, 74], [217, 94, 51]];

function tone(value) {
  const place = Math.min(Math.max(value, 0), 1) * (TONES.length - 1);
  const low = Math.min(Math.floor(place), TONES.length - 2);
  return TONES[low].map((c, i) => Math.round(c + (TONES[low + 1][i] - c) * (place - low)));
}

function readCloud(text) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0)), view = new DataView(bytes.buffer);
  const points = [];
  for (let i = 0; i + 5 < bytes.length; i += 6)
    points.push([0, 2, 4].map(k => view.getInt16(i + k, true) / 32767));
  return points;
}

function showCloud(canvas) {
  const points = readCloud(canvas.dataset.points), heights = points.map(p => p[1]);
  const low = Math.min(...heights), span = Math.max(...heights) - low || 1;
  const colours = points.map(p => tone((p[1] - low) / span));
  const reach = Math.max(...points.map(p => Math.hypot(...p))) || 1;
  const start = {azimuth: 0.6, elevation: 0.38, zoom: 1};
  let state = {...start}, drag = null, asked = false;

  function draw() {
    asked = false;
    const size = Math.round(canvas.clientWidth * devicePixelRatio) || 200;
    canvas.width = canvas.height = size;
    const context = canvas.getContext("2d"), scale = 0.47 * size * state.zoom / reach;
    const ca = Math.cos(state.azimuth), sa = Math.sin(state.azimuth);
    const ce = Math.cos(state.elevation), se = Math.sin(state.elevation);
    const seen = points.map(([x, y, z], i) =>
      [x * ca - z * sa, -x * sa * se + y * ce - z * ca * se, x * sa * ce + y * se + z * ca * ce, i]);
    seen.sort((a, b) => a[2] - b[2]);
    const radius = Math.max(1, 0.4 * size * state.zoom / Math.sqrt(points.length));
    for (const [right, up, near, i] of seen) {
      const alpha = 0.45 + 0.55 * Math.min(Math.max((near / reach + 1) / 2, 0), 1);
      context.fillStyle = `rgba(${colours[i]}, ${alpha})`;
      context.beginPath();
      context.arc(size / 2 + right * scale, size / 2 - up * scale, radius, 0, 2 * Math.PI);
      context.fill();
    }
    canvas.dataset.drawn = points.length;
  }
  function redraw() { if (!asked) { asked = true; requestAnimationFrame(draw); } }
  function turn(right, up) {
    state.azimuth -= right;
    state.elevation = Math.min(Math.max(state.elevation + up, -1.57), 1.57);
    redraw();
  }
  canvas.addEventListener("pointerdown", e => {
    drag = [e.clientX, e.clientY];
    canvas.setPointerCapture(e.pointerId);
  });
  canvas.addEventListener("pointermove", e => {
    if (!drag) return;
    turn((e.clientX - drag[0]) / 100, (e.clientY - drag[1]) / 100);
    drag = [e.clientX, e.clientY];
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { drag = null; });
  canvas.addEventListener("dblclick", () => { state = {...start}; redraw(); });
  canvas.addEventListener("keydown", e => {
    const step = {ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1]}[e.key];
    if (step) { e.preventDefault(); turn(...step); }
  });
  addEventListener("resize", redraw);
  draw();
}

function copy(button) {
  const block = button.parentElement.querySelector("pre"), said = text => {
    button.textContent = text;
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
  function select() {
    getSelection().selectAllChildren(block);
    said(document.execCommand("copy") ? "Copied" : "Selected");
  }
  if (navigator.clipboard) navigator.clipboard.writeText(block.textContent).then(() => said("Copied"), select);
  else select();
}

document.querySelectorAll("canvas").forEach(showCloud);
document.querySelectorAll("button").forEach(b => b.addEventListener("click", () => copy(b)));
"""
