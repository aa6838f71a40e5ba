// Learning curves: any metric, runs overlaid.
function curveTraces(metric, { by, smoothing, baseline, only = shown }) {
  const traces = [];
  for (const run of shown) {
    if (!only.has(run)) continue;
    const curve = data.curves[metric]?.runs[run];
    if (!curve) continue;
    const line = { color: colourOf(run), width: 2, dash: dashOf(run) };
    const few = curve.values.filter((v) => v != null).length < 30;
    const common = { x: curve[by], type: "scatter", mode: few ? "lines+markers" : "lines", name: plain(data.runs[run].name) };
    if (smoothing) traces.push({ ...common, y: curve.values, line, opacity: 0.25, hoverinfo: "skip" });
    traces.push({ ...common, y: smoothing ? smoothed(curve.values, smoothing) : curve.values, line, hovertemplate: "%{y:.5g} at %{x}<extra>%{fullData.name}</extra>" });
    if (baseline && curve.baseline != null) {
      const ends = [curve[by][0], curve[by].at(-1)];
      const name = `${data.runs[run].baseline}, ${plain(data.runs[run].name)}`;
      traces.push({ x: ends, y: [curve.baseline, curve.baseline], type: "scatter", mode: "lines", name, line: { color: css("--quiet"), width: 1, dash: "dot" }, hovertemplate: "%{y:.5g}<extra>%{fullData.name}</extra>" });
    }
  }
  return traces;
}

const direction = (metric) => (metric.startsWith("val/") ? `, ${betterMark(data.curves[metric].higher, "↑", "↓")}` : "");
const axisOf = (by) => ({ title: { text: by === "steps" ? "step" : "hours of training" } });

function curvesSection() {
  const sorted = () => Object.keys(data.curves).sort((a, b) => b.startsWith("val/") - a.startsWith("val/") || a.localeCompare(b));
  const metrics = sorted();
  const usual = ["psnr_y", "psnr"].flatMap((name) => metrics.filter((m) => m.startsWith("val/") && m.includes(name)));
  if (!metrics.length) return;
  const settings = { by: "steps", smoothing: 0, baseline: true };
  const runsOf = (m) => Object.keys(data.curves[m].runs).length;
  let [metric, log] = [usual.reduce((a, b) => (runsOf(b) > runsOf(a) ? b : a), usual[0]) ?? metrics[0], false];
  const place = el("div", { class: "plot", id: "curve-plot" });
  const legend = el("p", { class: "small quiet" });
  const draw = () => {
    const traces = curveTraces(metric, settings);
    legend.textContent = traces.length ? (settings.baseline && traces.some((t) => t.line.dash === "dot" && t.line.width === 1) ? `Grey: ${data.baseline}. Colours and dashes are those of the table.` : "Colours and dashes are those of the table.") : "None of the shown runs has logged this metric.";
    drawPlot(place, traces, { xaxis: axisOf(settings.by), yaxis: { title: { text: plain(metric) + direction(metric) }, type: log ? "log" : "linear" }, uirevision: `${metric} ${settings.by} ${log}` });
  };
  const chooser = choice("metric", metrics.map((m) => [m, m]), metric, (chosen) => {
    metric = chosen;
    draw();
  });
  whenDataChanges(() => {
    const select = chooser.querySelector("select");
    if (sorted().length === select.options.length) return;
    select.replaceChildren(...sorted().map((m) => el("option", { value: m }, m)));
    select.value = metric;
  });
  const value = el("output", {}, "0");
  const slider = el("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: 0, "aria-label": "smoothing", oninput: () => {
    settings.smoothing = Number(slider.value);
    value.textContent = slider.value;
    draw();
  } });
  const logBox = el("input", { type: "checkbox", onchange: () => {
    log = logBox.checked;
    draw();
  } });
  section("curves", "Learning curves",
    el("div", { class: "controls" },
      chooser,
      choice("by", [["steps", "step"], ["hours", "hour"]], "steps", (chosen) => {
        settings.by = chosen;
        draw();
      }),
      el("label", {}, "smoothing", slider, value), el("label", {}, logBox, "logarithmic")),
    place, legend);
  keepDrawn(draw);
}

function ganSection() {
  const titles = {
    "gan/d_accuracy": "D's accuracy: pairs it orders rightly; near 1 it has won, near 0.5 it can't tell", "gan/margin": "margin: mean D(real) − mean D(fake)",
    "gan/d_real": "mean D(real)", "gan/d_fake": "mean D(fake)", "gan/log_margin": "margin of the logarithms", "gan/d_updates": "share of steps in which D learned",
    "grad_norm/generator": "gradient norm of G", "grad_norm/srnet": "gradient norm of the SR net", "grad_norm/discriminator": "gradient norm of D",
  };
  const gans = new Set(Object.entries(data.curves).flatMap(([m, curve]) => (m.startsWith("gan/") ? Object.keys(curve.runs).map(Number) : [])));
  if (!gans.size) return;
  const metrics = [...Object.keys(titles), ...Object.keys(data.curves).filter((m) => m.startsWith("gan/") || m.startsWith("loss_weighted/") || m === "loss/discriminator")];
  const plots = [...new Set(metrics)].filter((m) => Object.keys(data.curves[m]?.runs ?? {}).some((run) => gans.has(Number(run)))).map((metric) => {
    const place = el("div", { class: "plot" });
    return { metric, place, figure: el("figure", {}, el("figcaption", {}, titles[metric] ?? metric), place) };
  });
  section("gan", "GAN health", el("div", { class: "plots" }, ...plots.map((p) => p.figure)));
  plots.forEach(({ metric, place }) => keepDrawn(() => {
    const traces = curveTraces(metric, { by: "steps", smoothing: 0.6, baseline: false, only: gans });
    drawPlot(place, traces, { xaxis: axisOf("steps"), yaxis: metric === "gan/d_accuracy" ? { range: [-0.03, 1.03] } : {} });
  }));
}
