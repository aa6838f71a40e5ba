// What Optuna learned in a sweep: which settings matter, and its trials, in order or as a Pareto front.
function studySection(study, index) {
  const multi = study.objectives.length > 1;
  const nameOf = (trial) => (trial.run == null ? `trial ${trial.number}` : `trial ${trial.number}, ${data.runs[trial.run].name}`);
  const goal = study.objectives.map((name, i) => `${name}, ${study.higher[i] ? "higher" : "lower"} is better`).join("; ");
  const parts = [el("p", { class: "quiet small" }, [study.folder, goal, study.ended].filter(Boolean).join(" · "))];
  if (study.note) parts.push(el("p", { class: "note" }, study.note));
  const bars = study.importances.map((importance) => {
    const place = el("div", { class: "plot importance", style: { height: `${90 + 30 * Object.keys(importance.shares).length}px` } });
    const title = el("h3", {}, `What matters for ${importance.objective}`);
    const some = Object.keys(importance.shares).length > 0;
    parts.push(title, some ? place : el("p", {}, "No setting stands out."), el("p", { class: "quiet small" }, importance.how));
    return [importance, place, some];
  });
  const points = el("div", { class: "plot trials" });
  if (study.trials.length) {
    const text = multi ? "The dashed line joins the trials that no other is better than in both: the Pareto front."
      : "The dashed line is the best so far. Hollow: pruned, with the last value reported.";
    parts.push(el("h3", {}, multi ? "Pareto front" : "Trials"), el("p", { class: "quiet small" }, text), points);
  }
  section(`study${index}`, "What the search found", ...parts);

  function drawBars() {
    for (const [importance, place, some] of bars) {
      if (!some) continue;
      const entries = Object.entries(importance.shares).reverse();
      drawPlot(place, [{
        type: "bar", orientation: "h", x: entries.map(([, share]) => share), y: entries.map(([key]) => plain(key)), marker: { color: css("--accent") },
        text: entries.map(([, share]) => `${Math.round(100 * share)} %`), textposition: "outside", cliponaxis: false, hoverinfo: "skip",
      }], { xaxis: { title: { text: "share" }, range: [0, 1.1], fixedrange: true }, yaxis: { type: "category", fixedrange: true } });
    }
  }

  function drawTrials() {
    if (!study.trials.length) return;
    const visible = study.trials.filter((trial) => trial.run == null || shown.has(trial.run));
    const at = (trial) => (multi ? [trial.values[0], trial.values[1]] : [trial.number, trial.values[0]]);
    const dots = visible.map((trial) => ({
      x: [at(trial)[0]], y: [at(trial)[1]], mode: "markers", name: plain(nameOf(trial)), cliponaxis: false,
      marker: { size: 11, color: trial.run == null ? css("--quiet") : colourOf(trial.run), symbol: trial.state === "pruned" ? "circle-open" : "circle", line: { width: 2 } },
      hovertemplate: "%{x:.6g}, %{y:.6g}<extra>%{fullData.name}</extra>",
    }));
    let line = study.trials.filter((trial) => study.best.includes(trial.number)).sort((a, b) => a.values[0] - b.values[0]).map(at);
    if (!multi) {
      let best = null;
      line = study.trials.filter((trial) => trial.state === "finished").map((trial) => {
        const value = trial.values[0];
        if (best == null || (study.higher[0] ? value > best : value < best)) best = value;
        return [trial.number, best];
      });
    }
    const joined = { x: line.map(([x]) => x), y: line.map(([, y]) => y), mode: "lines", name: multi ? "Pareto front" : "best so far", hoverinfo: "skip",
      line: { color: css("--quiet"), width: 1.5, dash: "dash", shape: multi ? "linear" : "hv" } };
    const axis = (i, up, down) => `${plain(study.objectives[i])}, better ${study.higher[i] ? up : down}`;
    drawPlot(points, [joined, ...dots], { xaxis: { title: { text: multi ? axis(0, "→", "←") : "trial" } }, yaxis: { title: { text: axis(multi ? 1 : 0, "↑", "↓") } } });
  }

  keepDrawn(() => { drawBars(); drawTrials(); });
}
