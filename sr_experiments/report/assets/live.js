// While runs train: how each is doing, and what is new, without disturbing what the reader looks at.
function liveSection() {
  const title = document.title;
  const began = new Set([...data.metrics, ...Object.keys(data.curves)]);
  const count = data.runs.length;
  let version = "";
  let pictures = data.live.runs.map((doing) => doing.pictures);
  let sound = null;

  const rows = el("div", { class: "doings" });
  const events = el("ol", { class: "events small", "aria-live": "polite", "aria-label": "what happened" });
  const status = el("p", { class: "small quiet", role: "status" });
  const offers = el("div", { class: "offers", "aria-live": "polite" });
  const bell = el("button", { "aria-pressed": "false", title: "A sound, and a notification of the browser, when a run ends or goes wrong", onclick: () => {
    const on = bell.getAttribute("aria-pressed") !== "true";
    bell.setAttribute("aria-pressed", String(on));
    sound = on ? (sound ?? new AudioContext()) : sound; // a browser lets a page sound after a click only
    if (on && "Notification" in window && Notification.permission === "default") Notification.requestPermission();
    if (on) ring();
  } }, "bell");

  function ring() {
    for (const start of [0, 0.25]) {
      const [tone, volume] = [sound.createOscillator(), sound.createGain()];
      tone.frequency.value = 660;
      volume.gain.value = 0.15;
      tone.connect(volume).connect(sound.destination);
      tone.start(sound.currentTime + start);
      tone.stop(sound.currentTime + start + 0.15);
    }
  }

  function tell(run, text, bad) {
    const line = `${data.runs[run].name} ${text}`;
    const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
    events.prepend(el("li", { class: bad ? "bad" : "" }, el("span", { class: "quiet" }, time), " ", swatch(run), " ", breakable(line)));
    while (events.children.length > 100) events.lastChild.remove();
    if (document.hidden) document.title = `● ${line}`;
    if (bell.getAttribute("aria-pressed") !== "true") return;
    ring();
    if ("Notification" in window && Notification.permission === "granted") new Notification(line);
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) document.title = title; });

  // One button for each kind of news; pressing it is the only thing that exchanges what is looked at.
  function offer(kind, text, act) {
    offers.querySelector(`[data-kind=${kind}]`)?.remove();
    if (text) offers.append(el("button", { "data-kind": kind, onclick: act }, text));
  }

  function drawRuns() {
    rows.replaceChildren(...data.runs.map((run, r) => {
      const doing = data.live.runs[r];
      const running = run.state === "running";
      const words = [`step ${run.step} / ${run.max_steps ?? "?"}`];
      if (running && doing.left != null) words.push(`${readable(doing.left)} left`);
      const value = valueOf(r, doing.monitor);
      if (value != null) {
        const digits = data.digits[doing.monitor];
        const baseline = run.metrics[doing.monitor].baseline;
        const at = run.best_step == null ? "" : ` at step ${run.best_step}`;
        words.push(`best ${doing.monitor} ${value.toFixed(digits)}${at}${baseline == null ? "" : `, ${run.baseline} ${baseline.toFixed(digits)}`}`);
      }
      if (doing.gan) words.push(`discriminator: ${doing.gan}`);
      return el("div", { class: "doing" },
        el("div", { class: "head" }, swatch(r), el("strong", {}, breakable(run.name)), el("span", { class: `state ${run.state}` }, run.state)),
        el("progress", { max: run.max_steps ?? 1, value: Math.min(run.step, run.max_steps ?? 1), "aria-label": `steps of ${run.name}` }),
        el("p", { class: "small quiet" }, words.join(" · ")),
        ...Object.entries(doing.troubles).map(([kind, text]) => el("p", { class: "note" }, `${kind}: ${text}`)));
    }));
  }

  function news(before, wrong) {
    data.runs.forEach((run, r) => {
      const ended = before[r].state !== run.state;
      const troubles = data.live.runs[r].troubles;
      if (ended && run.state !== "failed") tell(r, run.state === "running" ? "goes on" : run.state, run.state === "interrupted");
      for (const [kind, text] of Object.entries(troubles)) if (!(kind in wrong[r].troubles)) tell(r, `${kind}: ${text}`, true);
    });
  }

  async function newPictures() {
    const fresh = await (await fetch("pictures", { cache: "no-store" })).json();
    pictures = fresh.steps.slice(0, count);
    const drawn = data.pictures.length > 0 || data.clips.length > 0;
    if (!drawn) return location.reload();
    const ofKnown = (part) => part.run == null || part.run < count;
    for (const group of fresh.pictures) group.columns = group.columns.filter(ofKnown);
    for (const clip of fresh.clips) clip.runs = clip.runs.filter(ofKnown);
    Object.assign(data, { pictures: fresh.pictures, clips: fresh.clips, media: fresh.media, mediaLeftOut: fresh.mediaLeftOut });
    for (const listener of pictureListeners) listener();
    offer("pictures", "");
  }

  function take(fresh) {
    const before = { runs: data.runs, doing: data.live.runs };
    const more = fresh.runs.length - count;
    version = fresh.version;
    Object.assign(data, fresh, { runs: fresh.runs.slice(0, count) });
    const measured = [...data.metrics, ...Object.keys(data.curves)];
    if (!began.size && measured.length) return location.reload(); // there was nothing to look at
    const added = new Set(measured.filter((metric) => !began.has(metric)));
    offer("runs", more > 0 ? `${more} new run${more > 1 ? "s" : ""}: show` : "", () => location.reload());
    offer("metrics", added.size ? `${added.size} new measurements: show` : "", () => location.reload());
    const made = data.runs.flatMap((run, r) => (data.live.runs[r].pictures === pictures[r] ? [] : [`${run.name}, step ${data.live.runs[r].pictures}`]));
    const which = made.length > 2 ? `of ${made.length} runs` : made.join("; ");
    offer("pictures", made.length ? `new pictures ${which}: show` : "", newPictures);
    news(before.runs, before.doing);
    drawRuns();
    for (const listener of dataListeners) listener();
  }

  async function ask() {
    const asked = performance.now();
    try {
      const answer = await fetch(`numbers?have=${version}`, { cache: "no-store" });
      if (answer.status === 200) take(await answer.json());
      else if (answer.status !== 204) throw new Error(await answer.text());
      status.textContent = `fresh, as of ${new Date().toLocaleTimeString()}`;
    } catch (error) {
      status.textContent = error instanceof TypeError ? "sr compare --live does not answer: was it ended? The page stays as it is." : String(error.message);
    }
    setTimeout(ask, Math.max(1000, 10 * (performance.now() - asked))); // where answers are slow, fewer questions
  }

  document.getElementById("sections").before(offers);
  section("now", "Now", el("div", { class: "controls" }, bell, status), rows, events);
  drawRuns();
  ask();
}
