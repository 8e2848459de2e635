// Draws a run's report from the JSON beside it. Rules: every text enters the page as a text node,
// never as markup, with what cannot be seen or moves text written as its number; nothing is
// fetched; drawing is a pure function of data, view and selection.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const named = (fields) => (row) => Object.fromEntries(fields.map((name, i) => [name, row[i]]));
const calls = data.calls.map(named(["position", "op", "state", "label", "operands", "result",
  "message", "prompt", "completion", "cached", "service", "queue", "attempts", "again", "layout"]));
const flights = data.flights.map(named(["call", "op", "start", "end", "slot", "ended", "resent"]));
const nodes = data.nodes.map(named(["position", "op", "layer", "call", "kind", "count"]));
const nodeOf = new Map(nodes.map((node, index) => [node.position, index]));
const COLOURS = ["#4c78c9", "#e0a030", "#d9655b", "#55b0a0", "#9a6fd0", "#d982ae", "#7c9a3f", "#8a7566"];
// Ops of one name, as the lines of a session are, share a colour.
const firstOf = data.ops.map((op) => data.ops.findIndex((other) => other.name === op.name));
const colourOf = (op) => (op < 0 ? tone("--edge") : COLOURS[firstOf[op] % COLOURS.length]);
const counted = (count) => count.toLocaleString("en");
const plural = (count, word) => `${counted(count)} ${word}${count === 1 ? "" : "s"}`;
function duration(ms) {
  if (ms && ms < 1000) return `${ms} ms`;
  if (ms < 60e3) return `${+(ms / 1000).toFixed(ms < 1e4 ? 2 : 1)} s`;
  const s = Math.round(ms / 1000), [h, min] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  return [h && `${counted(h)} h`, min && `${min} min`, s % 60 && `${s % 60} s`].filter(Boolean).join(" ");
}
const HIDDEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\u{e0000}-\u{e0fff}]/gu;
const visible = (text) => String(text).replace(HIDDEN, (sign) =>
  `<U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}>`);
for (const op of data.ops) op.name = visible(op.name);
const MOST_ROWS = 200, MOST_LINKS = 12;
let chosen = -1;      // the call that is looked at
let matches = null;   // a Set of calls that hold what is searched; null: nothing is searched
let needle = "";
let tones = {};

function tone(name) {
  return tones[name] ??= getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function element(tag, text = "", kind = "", ...children) {
  const made = document.createElement(tag);
  if (text !== "") made.textContent = visible(text);
  if (kind) made.className = kind;
  made.append(...children);
  return made;
}

// -- a canvas that can be moved and zoomed ---------------------------------------------------

class Pane {
  constructor(id, sideways, draw, hit) {
    this.canvas = byId(id);
    this.context = this.canvas.getContext("2d");
    Object.assign(this, { sideways, draw, hit, scale: 1, x: 0, y: 0, due: false });
    new ResizeObserver(() => this.soon()).observe(this.canvas);
    this.canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY);
    }, { passive: false });
    let from = null, moved = false;
    this.canvas.addEventListener("pointerdown", (event) => {
      from = event; moved = false; this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!from) return this.point(event);
      const x = event.offsetX - from.offsetX, y = event.offsetY - from.offsetY;
      if (!moved && Math.hypot(x, y) < 4) return;
      moved = true; from = event; this.x += x; this.y += sideways ? 0 : y; this.soon();
    });
    this.canvas.addEventListener("pointerup", (event) => {
      from = null;
      if (!moved) choose(this.hit(...this.unviewed(event.offsetX, event.offsetY)));
    });
    const tools = document.querySelector(`[data-pane=${id}]`), half = () => this.canvas.clientWidth / 2;
    for (const [label, does] of [["+", () => this.zoom(1.6, half())], ["−", () => this.zoom(1 / 1.6, half())],
      ["fit", () => { this.scale = 1; this.x = this.y = 0; this.soon(); }]]) {
      const button = element("button", label);
      button.addEventListener("click", does);
      tools.append(button);
    }
  }
  unviewed(x, y) {
    return [(x - this.x) / this.scale, this.sideways ? y : (y - this.y) / this.scale];
  }
  zoom(factor, x, y = this.canvas.clientHeight / 2) {
    const scale = Math.min(400, Math.max(1, this.scale * factor)), change = scale / this.scale;
    this.x = x - (x - this.x) * change;
    this.y = y - (y - this.y) * change;
    this.scale = scale;
    this.soon();
  }
  point(event) {
    const call = calls[this.hit(...this.unviewed(event.offsetX, event.offsetY))];
    this.canvas.title = call ? `${data.ops[call.op].name}  ${call.position}  ${call.state}` : "";
  }
  soon() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => { this.due = false; this.paint(); });
  }
  paint() {
    const ratio = devicePixelRatio || 1, width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.font = "11px system-ui, sans-serif";
    this.draw(this.context, width, height, this);
  }
}

const faded = (call) => matches !== null && !matches.has(call);

// -- timeline --------------------------------------------------------------------------------

const AXIS = 20;
const lastMs = flights.reduce((most, flight) => Math.max(most, flight.end), 1);
const slots = 1 + flights.reduce((most, flight) => Math.max(most, flight.slot), 0);

function slotHeight(height) { return Math.min(26, (height - AXIS) / slots); }

function drawTimeline(pen, width, height, view) {
  const high = slotHeight(height), px = (ms) => (ms / lastMs) * width * view.scale + view.x;
  pen.strokeStyle = tone("--line");
  pen.fillStyle = tone("--soft");
  const span = lastMs / view.scale, step = niceStep(span / (width / 110)), from = -view.x / width * span;
  for (let at = Math.max(0, Math.floor(from / step) * step); at <= from + span; at += step) {
    pen.beginPath(); pen.moveTo(px(at), 0); pen.lineTo(px(at), height - AXIS + 4); pen.stroke();
    const told = duration(+at.toPrecision(6)), end = px(at) + 3 + pen.measureText(told).width;
    if (end < width) pen.fillText(told, px(at) + 3, height - 5);
  }
  for (const flight of flights) {
    const x = px(flight.start), wide = Math.max(1, px(flight.end) - x - 0.5), y = flight.slot * high;
    if (x > width || x + wide < 0) continue;
    pen.globalAlpha = faded(flight.call) ? 0.12 : flight.ended === "done" ? 0.9 : 0.45;
    pen.fillStyle = flight.ended === "failed" ? tone("--bad") : colourOf(flight.op);
    pen.fillRect(x, y, wide, Math.max(0.7, high - (high > 3 ? 1 : 0)));
    pen.fillStyle = tone("--ink");
    for (const again of flight.resent) pen.fillRect(px(again) - 1, y, 2, high);
    if (high > 13 && wide > 46) {
      pen.fillStyle = "#fff";
      pen.fillText(fitting(pen, data.ops[flight.op].name, wide - 8), x + 4, y + high / 2 + 3.5);
    }
    if (flight.call === chosen && chosen >= 0) outline(pen, x - 1, y - 1, wide + 2, high + 1);
  }
  pen.globalAlpha = 1;
}

function outline(pen, x, y, wide, high) {
  pen.globalAlpha = 1;
  pen.lineWidth = 2; pen.strokeStyle = tone("--pick"); pen.strokeRect(x, y, wide, high); pen.lineWidth = 1;
}

function niceStep(about) {
  const times = [60e3, 120e3, 300e3, 600e3, 1200e3, 1800e3, 3600e3];  // as clocks are divided
  if (about > 30e3 && about < 3600e3) return times.find((time) => time >= about);
  const unit = 10 ** Math.floor(Math.log10(Math.max(1, about)));
  return unit * [1, 2, 5, 10].find((factor) => unit * factor >= about);
}

function fitting(pen, text, wide) {
  let short = text;
  while (short && pen.measureText(short).width > wide) short = short.slice(0, -1);
  return short;
}

function hitTimeline(x, y) {
  const canvas = timeline.canvas, ms = (x / canvas.clientWidth) * lastMs;
  const slot = Math.floor(y / slotHeight(canvas.clientHeight));
  const near = (2 * lastMs) / canvas.clientWidth / timeline.scale;
  const found = flights.find((f) => f.slot === slot && f.start - near <= ms && ms <= f.end + near);
  return found ? found.call : -1;
}

// -- graph -----------------------------------------------------------------------------------

const GAP = 1.6;  // cells between layers
const into = nodes.map(() => []), outOf = nodes.map(() => []);
for (const [from, to] of data.edges) { into[to].push(from); outOf[from].push(to); }
const layers = [];
nodes.forEach((node, index) => (layers[node.layer] ??= []).push(index));

function placed(width, height) {  // cells: each layer a block of as many columns as it needs
  let rows = 1;
  const wide = (rows) => layers.reduce((sum, layer) => sum + Math.ceil(layer.length / rows) + GAP, -GAP);
  while (rows < nodes.length && wide(rows) / rows > width / height) rows = Math.ceil(rows * 1.05);
  const place = new Array(nodes.length), cell = Math.min(width / (wide(rows) + 1), height / (rows + 1), 90);
  let column = 0;
  for (const layer of layers) {
    const mean = (index) => into[index].reduce((sum, from) => sum + place[from][1], 0) / into[index].length;
    const order = layer.map((index) => [into[index].length ? mean(index) : Infinity, index]);
    if (layer !== layers[0]) order.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const columns = Math.ceil(layer.length / rows), deep = Math.ceil(layer.length / columns);
    order.forEach(([, index], at) => {
      place[index] = [column + Math.floor(at / deep), (at % deep) - (deep - 1) / 2];
    });
    column += columns + GAP;
  }
  const left = (width - (column - GAP - 1) * cell) / 2;
  return { cell, at: place.map(([x, y]) => [left + x * cell, height / 2 + y * cell]) };
}

let layout = null, layoutFor = "";
function drawGraph(pen, width, height, view) {
  if (layoutFor !== `${width}x${height}`) {
    layout = placed(width, height);
    layoutFor = `${width}x${height}`;
  }
  const at = layout.at.map(([x, y]) => [x * view.scale + view.x, y * view.scale + view.y]);
  const radius = radiusOf(view), here = nodes.findIndex((node) => node.call === chosen && chosen >= 0);
  pen.strokeStyle = tone("--edge");
  for (const control of [0, 1]) {
    pen.globalAlpha = Math.min(0.6, Math.max(0.06, 5 / Math.sqrt(data.edges.length)));
    pen.setLineDash(control ? [3, 3] : []);
    pen.beginPath();
    for (const [from, to, kind] of data.edges) if (kind === control) curve(pen, at[from], at[to]);
    pen.stroke();
  }
  pen.setLineDash([]);
  if (here >= 0) {
    pen.globalAlpha = 1; pen.strokeStyle = tone("--pick"); pen.beginPath();
    for (const from of into[here]) curve(pen, at[from], at[here]);
    for (const to of outOf[here]) curve(pen, at[here], at[to]);
    pen.stroke();
  }
  nodes.forEach((node, index) => {
    const [x, y] = at[index], size = radius * (node.count > 1 ? 1 + Math.log10(node.count) / 2 : 1);
    if (x < -20 || y < -20 || x > width + 20 || y > height + 20) return;
    pen.globalAlpha = faded(node.call) ? 0.12 : 1;
    pen.beginPath();
    pen.arc(x, y, node.op < 0 ? size * 0.55 : size, 0, 2 * Math.PI);
    pen.fillStyle = pen.strokeStyle = colourOf(node.op);
    const call = calls[node.call];
    if (call && call.state === "failed") pen.fillStyle = pen.strokeStyle = tone("--bad");
    if (node.op < 0 || (call && call.state !== "done" && call.state !== "failed")) {
      pen.fillStyle = tone("--card"); pen.fill(); pen.stroke();
    } else pen.fill();
    if (index === here) outline(pen, x - size - 3, y - size - 3, 2 * size + 6, 2 * size + 6);
    if (layout.cell * view.scale > 34) {
      const name = node.op < 0 ? node.kind : data.ops[node.op].name;
      const text = fitting(pen, node.count > 1 ? `${name} × ${node.count}` : name, layout.cell * view.scale * 0.95);
      pen.fillStyle = tone("--soft");
      pen.fillText(text, x - pen.measureText(text).width / 2, y + size + 12);
    }
  });
  pen.globalAlpha = 1;
}

function radiusOf(view) { return Math.max(1.1, Math.min(10, layout.cell * 0.36 * view.scale)); }

function curve(pen, [x, y], [toX, toY]) {
  const middle = (x + toX) / 2;
  pen.moveTo(x, y);
  pen.bezierCurveTo(middle, y, middle, toY, toX, toY);
}

function hitGraph(x, y) {
  let best = -1, nearest = (radiusOf(graph) + 5) / graph.scale;
  layout.at.forEach(([nodeX, nodeY], index) => {
    const far = Math.hypot(nodeX - x, nodeY - y);
    if (far < nearest && nodes[index].call >= 0) { nearest = far; best = nodes[index].call; }
  });
  return best;
}

// -- texts -----------------------------------------------------------------------------------

function fenced(text) {  // as the codec does: one backtick more than the longest run inside
  const longest = Math.max(2, ...(text.match(/`{3,}/g) || []).map((run) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}\n${text}\n${fence}`;
}

function escaped(text) {  // what chat servers get instead of what could be a special token
  return text.replace(/<(?=[|/a-zA-Z｜])|\[(?=\/?INST|\/?SYS)/g, "$&\u200b");
}

function promptOf(call) {
  const op = data.ops[call.op], sent = data.layouts[call.layout];
  const texts = call.operands.map((text) => data.texts[text]);
  if (!sent) return [op.text, ...texts.map((text, i) => `operand ${i + 1}:\n${fenced(text)}`)].join("\n\n");
  const shown = (text) => sent.chat ? escaped(text) : text;
  return sent.pieces.map((piece) => typeof piece === "number" ? shown(texts[piece]) : piece).join("");
}

function marked(text) {  // a text with what is searched marked
  const made = element("pre");
  const lower = text.toLowerCase();
  let from = 0;
  for (let at = needle ? lower.indexOf(needle) : -1, n = 0; at >= 0 && n < 500; at = lower.indexOf(needle, from), n++) {
    made.append(visible(text.slice(from, at)), element("mark", text.slice(at, at + needle.length)));
    from = at + needle.length;
  }
  made.append(visible(text.slice(from)));
  return made;
}

function choose(index) {
  if (index === undefined || index < 0) return;
  chosen = index;
  showDetail(calls[index]);
  history.replaceState(null, "", `#${calls[index].position}`);
  timeline.soon(); graph.soon();
}

function showDetail(call) {
  const box = byId("detail"), op = data.ops[call.op];
  const facts = [`${call.position}, ${call.state}`, call.label && `label ${call.label}`,
    `${plural(call.prompt, "token")} in (${counted(call.cached)} cached), ${counted(call.completion)} out`,
    `${duration(call.service)} of service after ${duration(call.queue)} in the queue`,
    call.attempts > 1 && `${call.attempts} attempts`,
    call.again > 0 && `asked again ${call.again} times with what was wrong; the prompt is the first`];
  box.replaceChildren(element("h2", op.name));
  for (const fact of facts) if (fact) box.append(element("p", fact, "soft"));
  const sent = data.layouts[call.layout];
  box.append(element("h3", sent ? (sent.chat ? "Prompt, as messages" : "Prompt, exactly as sent")
    : "Instruction and operands"), marked(promptOf(call)));
  box.append(element("h3", call.message ? "No result" : "Result"));
  box.append(call.result < 0 ? element("p", call.message || "none yet", call.message ? "bad" : "soft")
    : marked(data.texts[call.result]));
  const node = nodeOf.get(call.position);
  if (node !== undefined) { links(box, "Depends on", into[node]); links(box, "Leads to", outOf[node]); }
}

function links(box, title, found) {
  if (!found.length) return;
  box.append(element("h3", `${title} ${plural(found.length, "node")}`));
  for (const index of found.slice(0, MOST_LINKS)) {
    const node = nodes[index], button = element("button", `${node.kind === "call" ? data.ops[node.op].name : node.kind} ${node.position}`);
    button.disabled = node.call < 0;
    button.addEventListener("click", () => choose(node.call));
    box.append(button);
  }
}

// -- tables ----------------------------------------------------------------------------------

function table(id, heads, rows, numbers) {
  const kind = (i) => (numbers.includes(i) ? "number" : "");
  const line = (tag, cells) => element("tr", "", "", ...cells.map((cell, i) => element(tag, String(cell), kind(i))));
  byId(id).replaceChildren(line("th", heads), ...rows.map((row) => line("td", row)));
}

function snippet(call) {
  const result = call.result < 0 ? call.message : data.texts[call.result];
  if (!needle) return result.slice(0, 160);
  const where = [result, ...call.operands.map((text) => data.texts[text])].find((text) => text.toLowerCase().includes(needle));
  const at = where ? where.toLowerCase().indexOf(needle) : 0;
  return (at > 40 ? "…" : "") + (where ?? result).slice(Math.max(0, at - 40), at + 120);
}

function listCalls() {
  const found = matches === null ? calls.map((_, index) => index) : [...matches].filter((index) => index >= 0);
  found.sort((a, b) => (calls[b].state === "failed") - (calls[a].state === "failed"));
  const rows = found.slice(0, MOST_ROWS).map((index) => {
    const call = calls[index];
    const cells = [call.position, data.ops[call.op].name, call.state, counted(call.prompt), counted(call.completion), snippet(call)];
    const kind = (cell, i) => (i === 2 && cell === "failed" ? "bad" : i === 3 || i === 4 ? "number" : "");
    const row = element("tr", "", "", ...cells.map((cell, i) => element("td", cell, kind(cell, i))));
    row.tabIndex = 0;
    row.addEventListener("click", () => choose(index));
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(index); });
    return row;
  });
  const heads = [["position"], ["op"], ["state"], ["tokens in", "number"], ["tokens out", "number"], ["result"]]
    .map(([head, kind]) => element("th", head, kind));
  byId("calls").replaceChildren(element("tr", "", "", ...heads), ...rows);
  byId("calls-about").textContent = found.length > MOST_ROWS ? `the first ${MOST_ROWS} of ${counted(found.length)}` : plural(found.length, "call");
  return found;
}

function search(text) {
  needle = text.trim().toLowerCase();
  if (!needle) matches = null;
  else {
    const texts = new Set();
    data.texts.forEach((held, index) => { if (held.toLowerCase().includes(needle)) texts.add(index); });
    const ops = data.ops.map((op) => `${op.name}\n${op.text}`.toLowerCase().includes(needle));
    matches = new Set();
    calls.forEach((call, index) => {
      if (ops[call.op] || texts.has(call.result) || call.operands.some((text) => texts.has(text))
        || call.position.includes(needle) || call.message.toLowerCase().includes(needle)) matches.add(index);
    });
  }
  const found = listCalls();
  byId("found").textContent = matches ? plural(found.length, "call") : "";
  if (matches && found.length) choose(found[0]);
  timeline.soon(); graph.soon();
}

// -- the page --------------------------------------------------------------------------------

const timeline = new Pane("timeline", true, drawTimeline, hitTimeline);
const graph = new Pane("graph", false, drawGraph, hitGraph);

function start() {
  document.title = visible(`${data.run.program} ${data.run.name}`);
  byId("program").textContent = data.run.program;
  byId("about").textContent = data.run.about;
  byId("notes").append(...data.notes.map((note) => element("p", note, "note")));
  byId("figures").append(...data.figures.map(([label, value]) =>
    element("div", "", "", element("dt", label), element("dd", value))));
  byId("timeline-about").textContent = `${plural(slots, "slot")}, ${duration(lastMs)}`;
  byId("graph-about").textContent = data.graph;
  timeline.canvas.style.height = `${Math.round(Math.min(300, Math.max(70, slots * 26 + AXIS)))}px`;
  data.ops.forEach((op, index) => {
    if (firstOf[index] < index) return;
    const dot = element("i", "", "dot");
    dot.style.background = colourOf(index);
    byId("legend").append(element("span", "", "", dot, op.name));
  });
  byId("legend").append(element("span", "rings: no call of their own; dashes: issued after it was seen"));
  table("costs", ...data.costs, [1, 2, 3, 4, 5, 6, 7, 8]);
  const waits = data.forced.map(([line, times, s]) => [line, counted(times), duration(Math.round(s * 1000))]);
  table("forced", ["line", "times", "time"], waits, [1, 2]);
  byId("waits").hidden = !data.forced.length;
  const linked = location.hash.slice(1);
  listCalls();
  choose(Math.max(0, calls.findIndex((call) => call.position === linked)) - (calls.length ? 0 : 1));
  byId("search").addEventListener("input", (event) => search(event.target.value));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { tones = {}; timeline.soon(); graph.soon(); });
  timeline.paint();
  graph.paint();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}
start();
