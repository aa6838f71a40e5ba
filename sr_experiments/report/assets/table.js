// The table of runs: sorting, filtering, and which runs the rest of the page shows.
function tableSection() {
  let which = "best";
  let sorting = { column: null, down: false };
  const ticked = new Set(data.runs.keys());
  const head = el("thead");
  const body = el("tbody");
  const foot = el("tfoot");
  const count = el("span", { class: "quiet small" });
  const filter = el("input", {
    type: "search", placeholder: "filter: words, or psnr_y>29 features=64", "aria-label": "filter runs", oninput: () => draw(),
  });
  const both = choice("metrics of the", [["best", "best checkpoint"], ["final", "last validation"]], which, (value) => {
    which = value;
    draw();
  });

  const groups = { settings: true, metrics: true, cost: true };
  const toggles = Object.keys(groups).map((group) => {
    const button = el("button", { "aria-pressed": "true", onclick: () => {
      groups[group] = !groups[group];
      button.setAttribute("aria-pressed", String(groups[group]));
      draw();
    } }, group);
    return button;
  });

  function columns() {
    const found = [{ key: "state", label: "state", words: true, text: (r) => data.runs[r].state }];
    const settings = [];
    data.settings.forEach((setting) => {
      settings.push({
        part: "settings", key: setting.key, label: setting.label, title: [setting.key, ...setting.also].join("\n= "), words: !setting.numbers,
        number: (r) => (setting.numbers ? setting.numbers[r] : null), text: (r) => setting.texts[r], short: (r) => setting.short[r],
      });
    });
    if (settings.length <= 6) found.push(...settings); // many would push the metrics out of sight
    data.metrics.forEach((metric) => {
      const [set, name] = [metric.split("/").slice(0, -1).join("/"), metric.split("/").at(-1)];
      found.push({ part: "metrics", key: metric, label: name, group: set, metric, number: (r) => valueOf(r, metric, which) });
    });
    const number = (key, label, value, text) => found.push({ part: "cost", key, label, number: value, text });
    const run = (r) => data.runs[r];
    number("parameters", "parameters", (r) => run(r).parameters, (r) => run(r).parameters?.toLocaleString("en") ?? "–");
    number("speed", "samples/s", (r) => run(r).samples_per_second, (r) => run(r).samples_per_second?.toPrecision(3) ?? "–");
    number("time", "time", (r) => run(r).seconds, (r) => readable(run(r).seconds));
    number("step", "step", (r) => run(r).step, (r) => `${run(r).step} / ${run(r).max_steps ?? "?"}`);
    number("beststep", "best at", (r) => run(r).best_step, (r) => `${run(r).best_step ?? "–"}`);
    if (settings.length > 6) found.push(...settings);
    return found;
  }

  function cell(column, r, best) {
    if (column.key === "state") {
      const state = data.runs[r].state;
      return el("td", { class: "words" }, el("span", { class: `state ${state}`, title: data.runs[r].error }, state));
    }
    if (!column.metric) {
      const text = column.text(r);
      const short = column.short?.(r) ?? text;
      return el("td", { class: column.words ? "words" : "", title: short === text ? null : text }, short);
    }
    const value = column.number(r);
    if (value == null) return el("td", {}, "–");
    const digits = data.digits[column.metric];
    const { baseline, compared } = data.runs[r].metrics[column.metric];
    const lines = [el("span", { class: "value" }, value.toFixed(digits))];
    const titles = [];
    for (const [name, other] of [[data.runs[r].baseline, baseline], ["compared", compared]]) {
      if (other == null) continue;
      titles.push(`${name} ${other.toFixed(digits)}`);
      const gain = signed(gainOf(column.metric, value, other), digits);
      const zero = Number(gain.slice(1)) === 0;
      const kind = zero ? "" : gain.startsWith("+") ? " better" : " worse";
      lines.push(el("span", { class: `gain${kind}` }, (zero ? gain.slice(1) : gain) + (name === "compared" ? ` over ${name}` : "")));
    }
    return el("td", { class: best === value ? "best" : "", title: titles.join(", ") }, ...lines);
  }

  // The baseline's value, or their range where the runs were not validated on the same.
  function baselineCell(column, runs) {
    const values = column.metric ? runs.map((r) => data.runs[r].metrics[column.metric]?.baseline).filter((v) => v != null) : [];
    if (!values.length) return el("td");
    const ends = [...new Set([Math.min(...values), Math.max(...values)].map((v) => v.toFixed(data.digits[column.metric])))];
    return el("td", {}, ends.join(" … "));
  }

  function matches(r, all) {
    const words = [data.runs[r].name, data.runs[r].state, ...data.settings.map((k) => `${k.label}=${k.texts[r]}`)].join(" ").toLowerCase();
    return filter.value.toLowerCase().split(/\s+/).filter(Boolean).every((term) => {
      const [, key, sign, wanted] = term.match(/^([^<>=]+)(<=|>=|<|>|=)(.*)$/) ?? [];
      const column = all.find((c) => c.key.toLowerCase() === key) ?? all.find((c) => c.label.toLowerCase() === key);
      if (!column) return words.includes(term);
      const value = column.number?.(r);
      if (value == null || wanted === "" || Number.isNaN(Number(wanted))) return sign === "=" && (column.text?.(r) ?? "").toLowerCase() === wanted;
      const limit = Number(wanted);
      return { "<": value < limit, ">": value > limit, "<=": value <= limit, ">=": value >= limit, "=": value === limit }[sign];
    });
  }

  function sorted(runs, all) {
    const column = sorting.column === "run" ? { text: (r) => data.runs[r].name } : all.find((c) => c.key === sorting.column);
    if (!column) return runs;
    const value = (r) => column.number?.(r) ?? (column.number && !column.words ? null : column.text(r));
    return [...runs].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x == null || y == null) return (x == null) - (y == null); // what is missing stays at the end
      const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
      return sorting.down ? -order : order;
    });
  }

  function sortButton(key, label, startDown) {
    const arrow = sorting.column === key ? (sorting.down ? " ↓" : " ↑") : "";
    const onclick = () => {
      sorting = { column: key, down: sorting.column === key ? !sorting.down : startDown };
      draw();
      head.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
    };
    return el("button", { "data-key": key, onclick }, label + arrow);
  }

  function draw() {
    const all = columns();
    const visible = all.filter((c) => groups[c.part] ?? true);
    const sort = (key) => (sorting.column === key ? (sorting.down ? "descending" : "ascending") : "none");
    head.replaceChildren(el("tr", {},
      el("th", { class: "first words", "aria-sort": sort("run") }, sortButton("run", "run", false)),
      ...visible.map((c) => el("th", { class: c.words ? "words" : "", title: c.title ?? c.key, "aria-sort": sort(c.key) },
        c.group ? el("span", { class: "group" }, c.group) : null, sortButton(c.key, c.label, c.metric ? data.higher[c.metric] : false)))));
    const runs = [...data.runs.keys()].filter((r) => matches(r, all));
    const best = Object.fromEntries(data.metrics.map((metric) => {
      const values = runs.map((r) => valueOf(r, metric, which)).filter((v) => v != null);
      return [metric, values.length > 1 ? Math[data.higher[metric] ? "max" : "min"](...values) : null];
    }));
    body.replaceChildren(...sorted(runs, all).map((r) => {
      const box = el("input", { type: "checkbox", "aria-label": "show in plots", "data-run": r, onchange: () => {
        ticked[box.checked ? "add" : "delete"](r);
        draw();
      } });
      box.checked = ticked.has(r);
      return el("tr", { class: box.checked ? "" : "hidden-run" },
        el("td", { class: "first words", title: data.runs[r].folder }, el("label", {}, box, swatch(r), breakable(data.runs[r].name))),
        ...visible.map((column) => cell(column, r, best[column.metric])));
    }));
    const cells = visible.map((column) => baselineCell(column, runs));
    foot.replaceChildren(...(cells.some((c) => c.textContent) ? [el("tr", {}, el("td", { class: "first words" }, data.baseline), ...cells)] : []));
    count.textContent = `${runs.length} of ${data.runs.length} run${data.runs.length > 1 ? "s" : ""}`;
    const now = runs.filter((r) => ticked.has(r));
    if (now.length !== shown.size || now.some((r) => !shown.has(r))) showOnly(now);
  }

  const notes = data.notes.map((note) => el("p", { class: "note" }, note));
  data.runs.forEach((run) => {
    if (run.error) notes.push(el("p", { class: "note" }, `${run.name} ${run.state}: ${run.error}`));
  });
  const left = new Map();
  data.runs.forEach((run) => Object.entries(run.left_out).forEach(([what, why]) => left.set(`${what}: ${why}`, [...(left.get(`${what}: ${why}`) ?? []), run.name])));
  left.forEach((names, what) => notes.push(el("p", { class: "note" }, `not measured or used: ${what}${names.length === data.runs.length ? "" : names.length > 3 ? ` (${names.length} runs)` : ` (${names.join(", ")})`}`)));
  const conventions = Object.assign({}, ...data.runs.map((run) => run.conventions));
  const explained = el("details", {}, el("summary", {}, "What the metrics measure"),
    el("dl", {}, ...Object.entries(conventions).flatMap(([key, text]) => [el("dt", {}, key), el("dd", {}, text)])));
  const difference = data.runs.length < 2 ? "" : data.settings.length ? "Settings are shown where they differ." : "No setting differs.";
  section("runs", "Runs", el("p", { class: "quiet small" }, `${difference} The boxes and the filter choose what the rest of the page shows. Small numbers: gain over ${data.baseline}, + is better.`),
    el("div", { class: "controls" }, filter, both, el("span", { class: "controls", style: { margin: 0 } }, ...toggles), count), ...scrollable("The table", el("table", {}, head, body, foot)), ...notes,
    Object.keys(conventions).length ? explained : null);
  whenDataChanges(() => {
    const box = document.activeElement?.dataset?.run; // the keyboard stays where it is
    draw();
    if (box != null) body.querySelector(`[data-run="${box}"]`)?.focus();
  });
  draw();
}
