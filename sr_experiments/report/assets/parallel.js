// Parallel coordinates of a sweep: each run a line through its settings to what it reached.
function parallelSection() {
  // Numbers first; what takes many words to say has no place on an axis.
  const usable = data.settings.filter((setting) => setting.texts.every((text) => text.length <= 24)).sort((a, b) => !a.numbers - !b.numbers);
  if (data.runs.length < 3 || !usable.length || !data.metrics.length) return;
  const settings = usable.slice(0, 8);
  let metric = data.metrics.find((m) => m.endsWith("/psnr_y")) ?? data.metrics[0];
  const brushes = new Map();
  const place = svg("svg", { class: "parallel", role: "img", "aria-label": "settings and results of the runs" });
  const caption = el("p", { class: "small", style: { minHeight: "1.5em" } });
  const [width, height, top, bottom] = [1000, 330, 40, 305];
  const step = (width - 160) / settings.length;
  const letters = Math.max(Math.floor(step / 8) - 1, 4);

  function axisOf(key, label, numbers, texts) {
    const values = [...shown].map((r) => numbers?.[r]).filter((v) => v != null);
    if (numbers && values.length) {
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const log = low > 0 && high / low >= 30;
      const scale = (v) => (log ? Math.log(v) : v);
      const place = (v) => (high === low ? (top + bottom) / 2 : bottom - ((scale(v) - scale(low)) / (scale(high) - scale(low))) * (bottom - top));
      const distinct = [...new Set(values)];
      const ticks = distinct.length <= 6 && key !== "metric" ? distinct : [low, high];
      return { key, label, at: (r) => (numbers[r] == null ? null : place(numbers[r])), ticks: ticks.map((v) => [place(v), String(Number(v.toPrecision(5)))]) };
    }
    const names = [...new Set([...shown].map((r) => texts[r]))].sort();
    const spot = (text) => (names.length === 1 ? (top + bottom) / 2 : bottom - (names.indexOf(text) / (names.length - 1)) * (bottom - top));
    return { key, label, at: (r) => spot(texts[r]), ticks: names.map((n) => [spot(n), n.length > letters ? `${n.slice(0, letters - 1)}…` : n]) };
  }

  function colourFor(share) {
    const mix = (a, b) => Math.round(a + (b - a) * share);
    return `rgb(${mix(214, 0)} ${mix(120, 125)} ${mix(40, 200)})`;
  }

  function draw() {
    const reached = data.runs.map((_, r) => valueOf(r, metric));
    const axes = [...settings.map((k) => axisOf(k.key, k.label, k.numbers, k.texts)), axisOf("metric", metric, reached, reached.map(String))];
    const xs = axes.map((_, i) => 60 + i * step);
    const runs = [...shown].filter((r) => reached[r] != null);
    const [low, high] = [Math.min(...runs.map((r) => reached[r])), Math.max(...runs.map((r) => reached[r]))];
    place.setAttribute("viewBox", `0 0 ${width} ${height}`);
    place.replaceChildren();
    const lines = runs.map((r) => {
      const points = axes.map((axis, i) => [xs[i], axis.at(r)]).filter(([, y]) => y != null);
      const inside = axes.every((axis) => {
        const brush = brushes.get(axis.key);
        return !brush || (axis.at(r) != null && axis.at(r) >= brush[0] && axis.at(r) <= brush[1]);
      });
      const share = high === low ? 1 : (reached[r] - low) / (high - low);
      const d = points.map(([x, y], i) => {
        if (!i) return `M${x} ${y}`;
        const middle = (points[i - 1][0] + x) / 2;
        return `C${middle} ${points[i - 1][1]} ${middle} ${y} ${x} ${y}`;
      }).join("");
      const line = svg("path", { d, stroke: colourFor(data.higher[metric] ? share : 1 - share), class: inside ? "" : "out", "data-run": r });
      const say = () => {
        caption.textContent = `${data.runs[r].name}: ${settings.map((k) => `${k.label} ${k.texts[r]}`).join(", ")}, ${metric} ${reached[r].toFixed(data.digits[metric])}`;
      };
      line.addEventListener("pointerenter", say);
      line.addEventListener("click", say);
      return line;
    });
    place.append(...lines);
    axes.forEach((axis, i) => {
      const name = axis.label.length > letters ? `…${axis.label.slice(1 - letters)}` : axis.label;
      const title = svg("title", {}, axis.label);
      place.append(svg("line", { class: "axis", x1: xs[i], x2: xs[i], y1: top, y2: bottom }), svg("text", { x: xs[i], y: 20, "text-anchor": "middle" }, name, title));
      const written = []; // where a number or name is: another one has no place within a line's height
      [...axis.ticks.slice(0, 1), ...axis.ticks.slice(-1), ...axis.ticks.slice(1, -1)].forEach(([y, text]) => {
        if (written.some((other) => Math.abs(other - y) < 15)) return;
        written.push(y);
        place.append(svg("text", { class: "ends", x: xs[i] + 6, y: y + 4 }, text));
      });
      const brush = brushes.get(axis.key);
      if (brush) place.append(svg("rect", { class: "brush", x: xs[i] - 7, width: 14, y: brush[0], height: Math.max(brush[1] - brush[0], 1) }));
      const hit = svg("rect", { class: "hit", x: xs[i] - 12, width: 18, y: top - 8, height: bottom - top + 16 });
      hit.addEventListener("pointerdown", (event) => startBrush(event, axis.key));
      place.append(hit);
    });
  }

  function startBrush(event, key) {
    event.preventDefault();
    const y = (e) => {
      const box = place.getBoundingClientRect();
      return ((e.clientY - box.top) / box.height) * height;
    };
    const start = y(event);
    brushes.delete(key);
    const move = (e) => {
      brushes.set(key, [Math.min(start, y(e)), Math.max(start, y(e))]);
      draw();
    };
    const end = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
      draw();
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
  }

  section("parallel", "Settings and results", el("p", { class: "quiet small" }, "Blue lines reached more. Drag along an axis to pick runs, click it to let them go; rest on a line to read it."),
    el("div", { class: "controls" }, choice("reached", data.metrics.map((m) => [m, m]), metric, (v) => { metric = v; draw(); })),
    ...scrollable("The picture", place), caption,
    data.settings.length > settings.length ? el("p", { class: "quiet small" }, `Not drawn: ${data.settings.filter((k) => !settings.includes(k)).map((k) => k.key).join(", ")}.`) : null);
  whenShownChanges(draw);
  draw();
}
