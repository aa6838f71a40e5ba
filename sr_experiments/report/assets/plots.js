// Plotly in the page's colours, drawn anew when those change.
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// Plotly reads a few tags in texts; names are shown as they are.
const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function layout(extra) {
  const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line"), automargin: true };
  const narrow = window.innerWidth < 600;
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--ink"), size: narrow ? 11 : 12 },
    margin: { l: narrow ? 44 : 58, r: 14, t: 12, b: 44 }, hovermode: "closest", showlegend: false,
    hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line"), font: { color: css("--ink") } },
    uirevision: "kept", // a zoomed plot stays so when it is drawn anew
    ...extra,
    xaxis: { ...axis, ...extra.xaxis }, yaxis: { ...axis, ...extra.yaxis },
    // A finger on a plot scrolls the page.
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
  };
}

function drawPlot(place, traces, extra = {}) {
  const displayModeBar = matchMedia("(pointer: coarse)").matches ? false : "hover";
  // Runs are nobody else's business: no button that uploads a chart, and no address to upload to.
  const offline = { showSendToCloud: false, plotlyServerURL: "" };
  return Plotly.react(place, traces, layout(extra), { responsive: true, displaylogo: false, displayModeBar, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"], ...offline });
}

// Draw now, and whenever the shown runs or the colours change.
function keepDrawn(draw) {
  whenShownChanges(draw);
  whenDataChanges(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}

// Exponential moving average that starts unbiased.
function smoothed(values, weight) {
  let [sum, total] = [0, 0];
  return values.map((value) => {
    if (value == null) return null;
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return sum / total;
  });
}
