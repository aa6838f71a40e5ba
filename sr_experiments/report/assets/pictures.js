// The same crop of every run beside LR, the baseline and HR.
function picturesSection() {
  if (!data.pictures.length) return;
  let [group, errors, a, b] = [data.pictures[0], false, "", ""];
  let lens, slider, selects;
  const place = el("div");
  const titled = (column) => (column.run == null ? column.label : data.runs[column.run].name + (column.best ? ", best so far" : ""));
  const visible = () => group.columns.filter((column) => column.run == null || shown.has(column.run));
  const comparable = () => visible().filter((column) => !errors || column.error != null); // error maps with error maps
  const source = (column) => data.media[errors && column.error != null ? column.error : column.image];
  const level = el("span", { class: "quiet small" });

  function caption(column) {
    const words = [titled(column)];
    if (column.psnr != null) words.push(`${column.psnr.toFixed(2)} dB`);
    if (column.step != null) words.push(`step ${column.step}`);
    return el("figcaption", {}, column.run == null ? null : swatch(column.run), breakable(words.join(", ")));
  }

  function showPair() {
    const columns = comparable();
    slider.view.hidden = columns.length < 2;
    if (columns.length < 2) return selects.replaceChildren("Nothing to compare.");
    const find = (key, otherwise) => columns.find((c) => String(group.columns.indexOf(c)) === key) ?? otherwise;
    const first = find(a, columns.find((c) => /^(bicubic|input)/.test(c.label)) ?? columns[0]);
    const second = find(b, columns.find((c) => c.run != null) ?? columns.at(-1));
    [a, b] = [first, second].map((c) => String(group.columns.indexOf(c)));
    const options = columns.map((c) => [String(group.columns.indexOf(c)), titled(c)]);
    selects.replaceChildren(
      choice("left", options, a, (v) => { a = v; showPair(); }), choice("right", options, b, (v) => { b = v; showPair(); }));
    const shownAs = (column) => ({ uri: source(column), label: titled(column) + (errors ? ", error" : "") });
    slider.show(shownAs(first), shownAs(second));
  }

  function draw() {
    const ratio = `${group.width} / ${group.height}`;
    lens ??= new Lens();
    lens.views.clear();
    lens.after = () => { level.textContent = `${Math.round(lens.zoom * 100) / 100}×`; };
    slider = beforeAfter(lens, ratio);
    selects = el("div", { class: "controls" });
    const tiles = comparable().map((column) => {
      const view = el("div", { class: "view", style: { aspectRatio: ratio } }, el("img", { src: source(column), alt: titled(column) }));
      lens.add(view);
      return el("figure", {}, view, caption(column));
    });
    place.replaceChildren(el("div", { class: "tiles" }, ...tiles), el("h3", {}, errors ? "Two error maps" : "Before and after"), selects, slider.view);
    lens.after();
    showPair();
  }

  const chooser = () => choice("picture", data.pictures.map((g, i) => [String(i), g.name]), String(data.pictures.indexOf(group)), (v) => {
    [group, a, b] = [data.pictures[Number(v)], "", ""];
    lens.reset();
    draw();
  });
  let chosen = chooser();
  // New pictures take the places of those that are looked at, at the same zoom.
  whenPicturesChange(() => {
    const same = (column) => (other) => column && other.label === column.label && other.run === column.run && other.best === column.best;
    const before = group;
    group = data.pictures.find((g) => g.name === before.name) ?? data.pictures[0];
    [a, b] = [a, b].map((key) => String(group.columns.findIndex(same(before.columns[Number(key)]))));
    const now = chooser();
    chosen.replaceWith(now);
    chosen = now;
    draw();
  });

  const button = el("button", { "aria-pressed": "false", onclick: () => {
    errors = !errors;
    button.setAttribute("aria-pressed", String(errors));
    scale.hidden = !errors;
    draw();
  } }, "error maps");
  button.hidden = !data.pictures.some((g) => g.columns.some((column) => column.error != null)); // without HR
  const scale = el("p", { class: "small quiet", hidden: true }, `|sr − hr|, mean of the channels: black is 0, the brightest ${data.errorRange} levels of 255 or more.`);
  const zoom = (label, title, act) => el("button", { title, "aria-label": title, onclick: act }, label);
  section("pictures", "Pictures",
    el("p", { class: "quiet small" }, (data.runs.length ? "Of each run's last validation. dB: PSNR of this crop, RGB. " : "") + "Double click to zoom in and out, or Ctrl and wheel, or pinch; drag to move. All move together."),
    el("div", { class: "controls" },
      chosen,
      button,
      el("span", { class: "controls", style: { margin: 0 } }, zoom("−", "zoom out", () => lens.zoomOn(0.5, 0.5, 1 / 1.5)), zoom("+", "zoom in", () => lens.zoomOn(0.5, 0.5, 1.5)), zoom("whole", "whole picture", () => lens.reset()), level)),
    scale, place, data.mediaLeftOut ? el("p", { class: "note" }, `${data.mediaLeftOut} pictures or clips had no room in this page: make it with a larger --max-mb.`) : null);
  whenShownChanges(draw);
  draw();
}
