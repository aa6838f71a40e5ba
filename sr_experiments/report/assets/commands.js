// What to type next, with a button that copies it.
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // a page from disk may not be allowed to
    const area = el("textarea", {});
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "copied";
  setTimeout(() => { button.textContent = "copy"; }, 1500);
}

function commandsSection() {
  const place = el("div");
  const draw = () => place.replaceChildren(...[...shown].map((r) => {
    const run = data.runs[r];
    const lines = Object.entries(run.commands).flatMap(([label, line]) => {
      const button = el("button", { "aria-label": `copy: ${label}`, onclick: () => copy(line, button) }, "copy");
      return [el("span", { class: "label" }, label), el("code", { tabindex: 0 }, line), button];
    });
    const failure = run.error ? el("p", { class: "note" }, `failed: ${run.error}`) : null;
    const summary = el("summary", { class: "run" }, swatch(r), " ", breakable(run.name));
    return el("details", { open: data.runs.length <= 3 }, summary, failure, el("div", { class: "commands" }, ...lines));
  }));
  let drawn = JSON.stringify(data.runs.map((run) => run.commands));
  whenDataChanges(() => {
    const now = JSON.stringify(data.runs.map((run) => run.commands));
    if (now !== drawn) draw();
    drawn = now;
  });
  section("commands", "Repeat, continue, use", place);
  whenShownChanges(draw);
  draw();
}
