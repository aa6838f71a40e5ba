// The perception-distortion plane (Blau & Michaeli 2018): runs, their baseline, and those that none is better than in both.
function planeSection() {
  const sets = [...new Set(data.metrics.map((m) => m.split("/").slice(0, -1).join("/")))];
  const names = (set) => data.metrics.filter((m) => m.startsWith(`${set}/`));
  const has = (metric, part) => metric.split("/").at(-1).includes(part);
  const usable = sets.filter((set) => names(set).some((m) => has(m, "psnr") && !has(m, "warp")));
  if (!usable.length) return;
  const reasons = [...new Set(data.runs.flatMap((run) => Object.entries(run.left_out).filter(([what]) => what.includes("lpips")).map(([, why]) => why)))];
  const perceptual = (set) => names(set).filter((m) => has(m, "lpips"));
  const others = (set) => names(set).filter((m) => !data.higher[m] && !has(m, "lpips"));
  let set = usable.find((s) => perceptual(s).length) ?? usable[0];
  let [x, y] = ["", ""];
  const axes = el("span", { class: "controls" });
  const place = el("div", { class: "plot", id: "plane-plot" });
  const missing = el("p", { class: "note" });
  const absent = el("p", { class: "note", hidden: true });
  const legend = el("p", { class: "small legend" });

  function choose() {
    const distortions = names(set).filter((m) => data.higher[m] && !has(m, "warp"));
    const ys = [...perceptual(set), ...others(set)];
    axes.hidden = !ys.length;
    x = distortions.find((m) => has(m, "psnr_y")) ?? distortions[0];
    y = perceptual(set)[0] ?? "";
    missing.hidden = perceptual(set).length > 0;
    missing.textContent = `LPIPS was not measured on ${set}, so how real the pictures look can't be placed. ${reasons.join("; ")}`;
    const pick = (metric) => metric.split("/").at(-1);
    axes.replaceChildren(
      choice("distortion", distortions.map((m) => [m, pick(m)]), x, (v) => { x = v; draw(); }),
      ys.length ? choice("perception", [...(y ? [] : [["", "–"]]), ...ys.map((m) => [m, pick(m)])], y, (v) => { y = v; draw(); }) : "");
  }

  // One for each ten runs, as colours repeat.
  const symbols = { circle: "●", square: "■", "triangle-up": "▲", x: "✖" };
  const symbolOf = (run) => (run == null ? "diamond" : Object.keys(symbols)[Math.floor(run / palette.length) % 4]);
  const mark = (run) => el("span", { style: { color: run == null ? css("--quiet") : colourOf(run) } }, run == null ? "◆" : symbols[symbolOf(run)]);

  function draw() {
    place.hidden = !y;
    absent.hidden = true;
    legend.replaceChildren();
    if (!y) return;
    const pick = (metric) => metric.split("/").at(-1);
    const everyone = [...shown].map((run) => ({ run, name: data.runs[run].name, x: valueOf(run, x), y: valueOf(run, y) }));
    const points = everyone.filter((p) => p.x != null && p.y != null);
    const gone = everyone.filter((p) => !points.includes(p)).map((p) => `${p.name} (no ${[[p.x, x], [p.y, y]].filter(([v]) => v == null).map(([, m]) => pick(m)).join(", no ")})`);
    absent.hidden = !gone.length;
    absent.textContent = `Not in the plane: ${gone.join(", ")}.`;
    const others = new Map();
    for (const { run } of points) {
      for (const [name, other] of [[data.runs[run].baseline, "baseline"], ["compared", "compared"]]) {
        const [ox, oy] = [data.runs[run].metrics[x][other], data.runs[run].metrics[y][other]];
        if (ox != null && oy != null) others.set(`${name} ${ox.toFixed(3)} ${oy.toFixed(4)}`, { run: null, name, x: ox, y: oy });
      }
    }
    const all = [...points, ...others.values()];
    // A flow was validated with several numbers of steps, or strengths: a curve.
    const curves = [...shown].map((run) => ({ run, x: data.runs[run].ways[x] ?? {}, y: data.runs[run].ways[y] ?? {} }))
      .map(({ run, x, y }) => ({ run, ways: Object.keys(x).filter((way) => way in y).map((way) => ({ way, x: x[way], y: y[way] })) }))
      .filter(({ ways }) => ways.length);
    const reached = [...all, ...curves.flatMap(({ ways }) => ways)];
    const sign = data.higher[y] ? -1 : 1;
    const front = reached.filter((p) => !reached.some((q) => q.x >= p.x && sign * q.y <= sign * p.y && (q.x > p.x || q.y !== p.y))).sort((a, b) => a.x - b.x);
    const traces = [
      { x: front.map((p) => p.x), y: front.map((p) => p.y), mode: "lines", line: { color: css("--quiet"), width: 1.5, dash: "dash" }, hoverinfo: "skip", name: "Pareto front" },
      ...curves.map(({ run, ways }) => ({
        x: ways.map((p) => p.x), y: ways.map((p) => p.y), text: ways.map((p) => p.way.replace(/^[a-z]+/, "")),
        mode: "lines+markers+text", textposition: "top right", name: plain(`${data.runs[run].name}, by ${ways[0].way.replace(/[\d.]+$/, "")}`),
        line: { color: colourOf(run), width: 1.5 }, marker: { size: 6, color: colourOf(run) },
        hovertemplate: "%{text}: %{x:.4g}, %{y:.4g}<extra>%{fullData.name}</extra>", cliponaxis: false,
      })),
      ...all.map((p) => ({
        x: [p.x], y: [p.y], mode: "markers", name: plain(p.name),
        marker: { size: 12, color: p.run == null ? css("--quiet") : colourOf(p.run), symbol: symbolOf(p.run) },
        hovertemplate: "%{x:.4g}, %{y:.4g}<extra>%{fullData.name}</extra>", cliponaxis: false,
      })),
    ];
    legend.replaceChildren(...legendOf(all.map((p) => [mark(p.run), p.name])));
    const better = (metric, up, down) => `${plain(metric)}, ${betterMark(data.higher[metric], up, down)}`;
    drawPlot(place, traces, { xaxis: { title: { text: better(x, "→", "←") } }, yaxis: { title: { text: better(y, "↑", "↓") } }, margin: { l: 58, r: 30, t: 26, b: 44 } });
  }

  section("plane", "Perception and distortion",
    el("p", { class: "quiet small" }, "Of the best checkpoints. A solid line is one flow with several numbers of steps, or strengths. The dashed line joins those that no other is better than in both: the Pareto front."),
    el("div", { class: "controls" }, usable.length > 1 ? choice("set", usable.map((s) => [s, s]), set, (v) => { set = v; choose(); draw(); }) : "", axes), missing, place, legend, absent);
  choose();
  keepDrawn(draw);
}
