// Elements from plain values. Text is only ever set as text, so names of runs and files can hold anything.
const data = JSON.parse(document.getElementById("data").textContent);
const palette = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c6bb1", "#a6761d", "#e7298a", "#7f7f7f"];
const dashes = ["solid", "dash", "dot", "dashdot"];
const colourOf = (run) => palette[run % palette.length];
const dashOf = (run) => dashes[Math.floor(run / palette.length) % dashes.length];

function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") Object.assign(element.style, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// A section with its place in the contents.
function section(id, title, ...children) {
  document.getElementById("contents").append(el("a", { href: `#${id}` }, title));
  const made = el("section", { id }, el("h2", {}, title), ...children);
  document.getElementById("sections").append(made);
  return made;
}

function choice(label, options, chosen, onchange) {
  const select = el("select", { "aria-label": label, onchange: () => onchange(select.value) });
  for (const [value, text] of options) select.append(el("option", { value }, text));
  select.value = chosen;
  return el("label", {}, label, select);
}

// A name that may break after its separators.
function breakable(name) {
  const pieces = name.split(/(?<=[_/\-])/);
  return el("span", {}, ...pieces.flatMap((piece, i) => (i ? [el("wbr"), piece] : [piece])));
}

// A run's colour and, with many runs, its dashes.
const dashLengths = { solid: "none", dash: "7 3", dot: "2 2", dashdot: "7 2 2 2" };
function swatch(run) {
  const line = svg("line", { x1: 0, x2: 18, y1: 6, y2: 6, stroke: colourOf(run), "stroke-width": 6, "stroke-dasharray": dashLengths[dashOf(run)] });
  return svg("svg", { class: "swatch", viewBox: "0 0 18 12", width: 18, height: 12, "aria-hidden": "true" }, line);
}

// Names beside their marks; unlike labels in a plot they never overlap.
const legendOf = (entries) => entries.map(([mark, name]) => el("span", { class: "entry" }, mark, breakable(name)));

// Something wide that scrolls sideways, with a shadow and a line that say so as long as there is more of it.
function scrollable(what, child) {
  const inner = el("div", { class: "scroll" }, child);
  const hint = el("p", { class: "small hint", hidden: true }, `${what} goes on to the right: scroll it sideways →`);
  const outer = el("div", { class: "scrollable" }, inner);
  const look = () => {
    outer.classList.toggle("more", inner.scrollWidth - inner.clientWidth - inner.scrollLeft > 2);
    hint.hidden = inner.scrollWidth <= inner.clientWidth + 2;
  };
  inner.addEventListener("scroll", look);
  const observer = new ResizeObserver(look);
  observer.observe(inner);
  observer.observe(child);
  return [hint, outer];
}

// What the table's filter and boxes leave; everything that draws runs listens.
const shown = new Set(data.runs.keys());
const listeners = [];
function whenShownChanges(listener) {
  listeners.push(listener);
}
function showOnly(runs) {
  shown.clear();
  for (const run of runs) shown.add(run);
  for (const listener of listeners) listener();
}

// Of a live page: what draws numbers, and what draws pictures, listens for new ones.
const [dataListeners, pictureListeners] = [[], []];
const whenDataChanges = (listener) => dataListeners.push(listener);
const whenPicturesChange = (listener) => pictureListeners.push(listener);

// By how much a value is better than another: positive is better, whatever the metric's direction.
const gainOf = (metric, value, other) => (data.higher[metric] ? value - other : other - value);
const betterMark = (higher, up, down) => `better ${higher ? up : down}`;
const signed = (value, digits) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
function readable(seconds) {
  if (seconds == null) return "–";
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${String(minutes % 60).padStart(2, "0")} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
// The value that stands for a run: of its best checkpoint, or as long as there is none the last.
const valueOf = (run, metric, which = "best") => {
  const found = data.runs[run].metrics[metric];
  return found == null ? null : which === "final" ? found.final : (found.best ?? found.final);
};
