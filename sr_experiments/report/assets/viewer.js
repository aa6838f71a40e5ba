// Zoom and pan that several pictures share.
class Lens {
  constructor() {
    [this.zoom, this.x, this.y] = [1, 0, 0]; // offsets as shares of the view
    this.views = new Set();
    this.after = () => {};
  }

  add(view) {
    const fingers = new Map();
    let distance = 0;
    this.views.add(view);
    view.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey && this.zoom === 1) return; // the page scrolls on
      event.preventDefault();
      this.zoomAt(view, event, Math.exp(-event.deltaY / 300));
    }, { passive: false });
    view.addEventListener("pointerdown", (event) => {
      view.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, event);
      distance = 0;
    });
    view.addEventListener("pointermove", (event) => {
      if (!fingers.has(event.pointerId)) return;
      const before = fingers.get(event.pointerId);
      fingers.set(event.pointerId, event);
      if (fingers.size === 1) {
        const box = view.getBoundingClientRect();
        this.move((event.clientX - before.clientX) / box.width, (event.clientY - before.clientY) / box.height);
      } else {
        const [a, b] = [...fingers.values()];
        const now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
        if (distance) this.zoomAt(view, { clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 }, now / distance);
        distance = now;
      }
    });
    for (const kind of ["pointerup", "pointercancel"]) view.addEventListener(kind, (event) => fingers.delete(event.pointerId));
    view.addEventListener("dblclick", (event) => (this.zoom > 1 ? this.reset() : this.zoomAt(view, event, 4)));
    this.apply(view);
  }

  zoomAt(view, { clientX, clientY }, factor) {
    const box = view.getBoundingClientRect();
    this.zoomOn((clientX - box.left) / box.width, (clientY - box.top) / box.height, factor);
  }

  zoomOn(u, v, factor) {
    const zoom = Math.min(Math.max(this.zoom * factor, 1), 32);
    this.x = u - ((u - this.x) * zoom) / this.zoom;
    this.y = v - ((v - this.y) * zoom) / this.zoom;
    this.zoom = zoom;
    this.move(0, 0);
  }

  move(dx, dy) {
    const inside = (value) => Math.min(Math.max(value, 1 - this.zoom), 0);
    [this.x, this.y] = [inside(this.x + dx), inside(this.y + dy)];
    this.views.forEach((view) => this.apply(view));
    this.after();
  }

  reset() {
    [this.zoom, this.x, this.y] = [1, 0, 0];
    this.move(0, 0);
  }

  apply(view) {
    view.style.touchAction = this.zoom > 1 ? "none" : "pan-y"; // a finger on the whole picture scrolls the page
    // A percentage is of the picture's own size, which before zooming is the view's.
    for (const image of view.querySelectorAll("img")) image.style.transform = `translate(${this.x * 100}%, ${this.y * 100}%) scale(${this.zoom})`;
  }
}

// Two pictures over each other, with a handle between them.
function beforeAfter(lens, ratio) {
  const [under, over] = [el("img", { alt: "" }), el("img", { alt: "" })];
  const top = el("div", { class: "over" }, over);
  const [left, right] = [el("span", { class: "tag left" }), el("span", { class: "tag right" })];
  const handle = el("div", { class: "handle", role: "slider", tabindex: 0, "aria-label": "before and after", "aria-valuemin": 0, "aria-valuemax": 100 });
  const view = el("div", { class: "view pair", style: { aspectRatio: ratio } }, under, top, left, right, handle);
  let share = 0.5;
  const set = (value) => {
    share = Math.min(Math.max(value, 0), 1);
    handle.style.left = `${share * 100}%`;
    handle.setAttribute("aria-valuenow", Math.round(share * 100));
    top.style.clipPath = `inset(0 ${(1 - share) * 100}% 0 0)`;
  };
  handle.addEventListener("pointerdown", (event) => {
    event.stopPropagation();
    handle.setPointerCapture(event.pointerId);
  });
  handle.addEventListener("pointermove", (event) => {
    if (!handle.hasPointerCapture(event.pointerId)) return;
    const box = view.getBoundingClientRect();
    set((event.clientX - box.left) / box.width);
  });
  handle.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (by) set(share + by);
  });
  set(0.5);
  lens.add(view);
  return {
    view,
    show(a, b) {
      [over.src, under.src, over.alt, under.alt] = [a.uri, b.uri, a.label, b.label];
      [left.textContent, right.textContent] = [a.label, b.label];
      lens.apply(view);
    },
  };
}
