// Clips and time slices of video runs.
function movingSection() {
  if (!data.clips.length) return;
  const place = el("div");
  let clip = data.clips[0];
  function draw() {
    const rows = clip.runs.filter(({ run }) => shown.has(run)).map(({ run, slice, clip: movie }) => el("div", {},
      el("h3", {}, swatch(run), " ", breakable(data.runs[run].name)),
      movie == null ? null : el("video", { src: data.media[movie], controls: true, loop: true, muted: true, playsinline: true, preload: "auto" }),
      slice == null ? null : el("img", { class: "slice", src: data.media[slice], alt: `time slice of ${data.runs[run].name}` })));
    place.replaceChildren(...rows);
  }
  whenPicturesChange(() => {
    clip = data.clips.find((c) => c.name === clip.name) ?? data.clips[0];
    draw();
  });
  const together = (act) => () => place.querySelectorAll("video").forEach(act);
  section("clips", "Clips and time slices",
    el("p", { class: "quiet small" }, "A time slice is one row of pixels over time, downwards: still content is vertical, smooth motion a clean slanted line, flicker a ragged one."),
    el("div", { class: "controls" },
      choice("clip", data.clips.map((c, i) => [String(i), c.name]), "0", (v) => { clip = data.clips[Number(v)]; draw(); }),
      el("button", { onclick: together((video) => { video.currentTime = 0; video.play(); }) }, "play all"), el("button", { onclick: together((video) => video.pause()) }, "stop")),
    place);
  whenShownChanges(draw);
  draw();
}
