// Files go to the server that this page came from, one request each; their states are asked for while there is work.
const unfinished = (job) => job.state === "waiting" || job.state === "working";
const status = el("p", { class: "note", role: "alert", hidden: true });
const say = (text) => { [status.textContent, status.hidden] = [text, !text]; };

async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error("The page gets no answer: sr app has ended, or is busy.");
  }
  if (!response.ok) throw new Error(await response.text());
  return response;
}

// What to do with the files.
const picker = el("input", { type: "file", multiple: true, class: "unseen", id: "files", "aria-label": "files", onchange: () => add([...picker.files]) });
let checkpoint = data.checkpoints[0].path;
const checkpoints = choice("checkpoint", data.checkpoints.map((c) => [c.path, [c.name, c.about].filter(Boolean).join(", ")]), checkpoint, (value) => { checkpoint = value; });
const amount = el("input", { type: "number", min: 1, step: "any", "aria-label": "size", hidden: true });
const sizes = [["", "the network's own"], ["scale", "scale factor"], ["width", "width in pixels"], ["height", "height in pixels"], ["longest", "longer side in pixels"]];
let size = "";
const sizing = choice("size", sizes, size, (value) => {
  [size, amount.hidden, amount.value] = [value, !value, { scale: 2, "": "" }[value] ?? 1920];
});
const denoise = el("input", { type: "number", min: 0, max: 50, step: 1, placeholder: "0", "aria-label": "denoise" });
const strength = el("input", { type: "number", min: 0, max: 1, step: 0.05, placeholder: "1", "aria-label": "strength" });

async function add(files) {
  picker.value = "";
  say("");
  after = Math.max(0, ...rows.keys());
  for (const file of files) {
    const settings = new URLSearchParams({ name: file.name, checkpoint });
    if (size) settings.set(size, amount.value);
    if (denoise.value) settings.set("denoise", denoise.value);
    if (strength.value) settings.set("strength", strength.value);
    try {
      if (file.size > data.mostBytes) throw new Error(`${file.name} is larger than ${data.mostBytes / 1e6} MB: start sr app with a larger --max-mb`);
      await ask(`add?${settings}`, { method: "POST", body: file });
    } catch (error) {
      say(error.message);
    }
    await refresh();
  }
}

// The jobs, the newest first. Rows are updated and not exchanged, so that a button keeps the focus.
const list = el("ul", { class: "jobs" });
const rows = new Map();
let looked = null;
let after = 0; // the first job after this one that is done is shown: others don't replace what is looked at
let asking = 0;

function rowOf(job) {
  const open = el("button", { onclick: async () => { await compare(job.number); comparePlace.scrollIntoView(); } }, "compare");
  const load = el("a", { class: "button", href: `result?job=${job.number}` }, "download");
  const remove = el("button", { "aria-label": `remove ${job.name}`, title: "stop and remove", onclick: async () => {
    await ask(`remove?job=${job.number}`, { method: "POST" }).catch((error) => say(error.message));
    if (looked === job.number) close();
    refresh();
  } }, "✕");
  const bar = el("progress", { max: 1, "aria-label": `progress of ${job.name}` });
  const [state, text] = [el("span", { class: "state" }), el("p", { class: "small quiet text" })];
  const head = el("div", { class: "head" }, el("strong", {}, job.name), el("span", { class: "quiet small" }, job.checkpoint), state, el("span", { class: "acts" }, open, load, remove));
  return { row: el("li", {}, head, bar, text), open, load, bar, state, text };
}

function draw(jobs) {
  const stems = (name) => name.replace(/\.[^.]*$/, "");
  for (const [number, { row }] of rows) {
    if (!jobs.some((job) => job.number === number)) {
      row.remove();
      rows.delete(number);
    }
  }
  for (const job of [...jobs].reverse()) {
    if (!rows.has(job.number)) {
      rows.set(job.number, rowOf(job));
      list.prepend(rows.get(job.number).row);
    }
    const parts = rows.get(job.number);
    const words = job.share == null ? "loading the network" : `${Math.round(job.share * 100)} %`;
    parts.state.textContent = job.state === "working" ? words : job.state;
    parts.state.className = `state ${{ done: "finished", working: "running" }[job.state] ?? job.state}`;
    parts.bar.hidden = job.state !== "working";
    if (job.share == null) parts.bar.removeAttribute("value");
    else parts.bar.value = job.share;
    parts.open.hidden = parts.load.hidden = job.state !== "done";
    parts.text.textContent = job.error ?? job.text ?? "";
    parts.text.classList.toggle("bad", job.state === "failed");
    if (job.result) parts.load.download = `${stems(job.name)}_sr${job.result.slice("result".length)}`;
    parts.job = job;
  }
  jobsPlace.hidden = !jobs.length;
  const done = jobs.find((job) => job.state === "done" && job.number > after);
  if (done) compare(done.number);
}

async function refresh() {
  clearTimeout(asking);
  try {
    const jobs = await (await ask("jobs")).json();
    draw(jobs);
    if (jobs.some(unfinished)) asking = setTimeout(refresh, 400);
  } catch (error) {
    say(error.message);
    asking = setTimeout(refresh, 3000);
  }
}

// Before and after.
const lens = new Lens();
const place = el("div");
let shownUrls = [];
function close() {
  shownUrls.forEach((url) => URL.revokeObjectURL(url));
  [shownUrls, looked, comparePlace.hidden] = [[], null, true];
}
async function compare(number) {
  const { job } = rows.get(number);
  after = Infinity;
  try {
    const blobs = await Promise.all(["before", "after"].map(async (name) => (await ask(`${name}?job=${number}`)).blob()));
    close();
    shownUrls = blobs.map((blob) => URL.createObjectURL(blob));
    lens.views.clear();
    lens.reset();
    const slider = beforeAfter(lens, `${job.width} / ${job.height}`);
    slider.view.style.maxWidth = `min(100%, ${(80 * job.width) / job.height}vh)`;
    slider.show({ uri: shownUrls[0], label: job.before }, { uri: shownUrls[1], label: job.checkpoint });
    place.replaceChildren(el("h3", {}, `${job.name}, ${job.width} × ${job.height}`), slider.view);
    [looked, comparePlace.hidden] = [number, false];
  } catch (error) {
    say(error.message);
  }
}

const drop = el("label", { class: "drop", for: "files" }, picker, el("strong", {}, "Drop images or videos here"), el("span", { class: "quiet" }, "or click to choose them"));
for (const kind of ["dragenter", "dragover"]) document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
for (const kind of ["dragleave", "drop"]) document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
document.addEventListener("drop", (event) => add([...event.dataTransfer.files]));

document.getElementById("made").textContent = "Files stay on this machine, and are removed when sr app ends.";
section("settings", "Settings", el("div", { class: "controls" }, checkpoints, sizing, amount, el("label", {}, "denoise", denoise), el("label", {}, "strength", strength)),
  el("p", { class: "quiet small" }, "Denoise: the noise to remove first, its standard deviation in levels of 255. Strength: from 0, bicubic, to 1, the network's own output. For networks of model=flow_distilled, from fidelity to realism."), drop, status);
const jobsPlace = section("jobs", "Files", list);
const zoom = (label, title, act) => el("button", { title, "aria-label": title, onclick: act }, label);
const comparePlace = section("compare", "Before and after", place,
  el("div", { class: "controls" }, zoom("−", "zoom out", () => lens.zoomOn(0.5, 0.5, 1 / 1.5)), zoom("+", "zoom in", () => lens.zoomOn(0.5, 0.5, 1.5)), zoom("whole", "whole picture", () => lens.reset()),
    el("span", { class: "quiet small" }, "Double click to zoom in and out, or Ctrl and wheel, or pinch; drag to move. Of a video, the middle frame is shown.")));
document.getElementById("contents").hidden = true;
jobsPlace.hidden = comparePlace.hidden = true;
refresh();
