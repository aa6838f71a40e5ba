// Differences between two columns of `sr evaluate`, image by image.
function evaluationSection(evaluation, number) {
  const metrics = Object.keys(evaluation.values);
  if (evaluation.results.length < 2 || !metrics.length) return;
  const last = evaluation.results.length - 1;
  let [metric, one, other] = [metrics[0], last, 0];
  const names = evaluation.results.map((result, i) => [String(i), result.name]);
  const place = el("div", { class: "plot" });
  const said = el("p");

  function draw() {
    const [x, y] = [evaluation.values[metric][one], evaluation.values[metric][other]];
    const digits = evaluation.digits[metric];
    const rows = evaluation.images.filter((image) => x[image] != null && y[image] != null).map((image) => [image, x[image] - y[image]]).sort((p, q) => p[1] - q[1]);
    const found = evaluation.differences[metric].find((d) => (d.of === one && d.against === other) || (d.of === other && d.against === one));
    const [mean, low, high] = !found ? [] : found.of === one ? [found.mean, found.low, found.high] : [-found.mean, found.high == null ? null : -found.high, found.low == null ? null : -found.low];
    const better = (value) => (value > 0) === evaluation.higher[metric];
    if (mean == null) said.textContent = one === other ? "Choose two different columns." : "No image has both values.";
    else {
      const interval = low == null ? "one image: no interval" : `95 % interval ${signed(low, digits)} to ${signed(high, digits)}`;
      const verdict = low == null ? "" : low > 0 || high < 0 ? ` ${names[one][1]} is ${better(mean) ? "better" : "worse"}.` : " The interval holds 0: the difference may be chance.";
      said.textContent = `Mean difference ${signed(mean, digits)} (${interval}, ${found.images} ${evaluation.unit}s).${verdict}`;
    }
    const shapes = mean == null ? [] : [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: mean, y1: mean, line: { color: css("--accent"), width: 2 } }];
    if (low != null) shapes.push({ type: "rect", xref: "paper", x0: 0, x1: 1, y0: low, y1: high, fillcolor: css("--accent"), opacity: 0.15, line: { width: 0 } });
    const bars = { type: "bar", x: rows.map((r, i) => i), y: rows.map((r) => r[1]), customdata: rows.map((r) => plain(r[0])), hovertemplate: "%{customdata}: %{y:+.4f}<extra></extra>", marker: { color: rows.map((r) => (better(r[1]) ? css("--good") : css("--bad"))) } };
    const ticks = rows.length <= 30 ? { tickvals: rows.map((r, i) => i), ticktext: rows.map((r) => plain(r[0].length > 18 ? `${r[0].slice(0, 17)}…` : r[0])) } : { showticklabels: false };
    drawPlot(place, [bars], { shapes, xaxis: ticks, yaxis: { title: { text: `difference in ${plain(metric)}, ${betterMark(evaluation.higher[metric], "↑", "↓")}` } } });
  }

  section(`evaluation${number}`, `Differences by ${evaluation.unit}: ${evaluation.name}`,
    el("p", { class: "quiet small" }, `HR ${evaluation.data.hr}, LR ${evaluation.data.lr}. Bars: ${evaluation.unit}s, green where the first is better. Line and band: mean of the paired differences and its 95 % interval after Student's t.`),
    el("div", { class: "controls" },
      choice("metric", metrics.map((m) => [m, m]), metric, (v) => { metric = v; draw(); }),
      choice("of", names, String(one), (v) => { one = Number(v); draw(); }), choice("minus", names, String(other), (v) => { other = Number(v); draw(); })),
    said, place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}
