"use strict";
// Slices of the volumes in this page, on plain canvases. What lies on the first axis runs fastest in every array.

async function inflated(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function unpacked(layer) {
  const codes = await inflated(layer.data);
  for (let i = 1; i < codes.length; i++) codes[i] = (codes[i] + codes[i - 1]) & 255;
  return codes;
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Buttons of which one is chosen: real radio inputs, so the keyboard works.
function choice(place, name, options, chosen, onChange) {
  for (const [value, label] of options) {
    const input = element("input", { type: "radio", name, value, checked: value === chosen });
    input.addEventListener("change", () => onChange(value));
    place.append(element("label", {}, input, element("span", { textContent: label })));
  }
}

class Viewer {
  constructor(page, volumes) {
    this.page = page;
    this.volumes = volumes;
    this.ndim = page.shape.length;
    this.strides = page.shape.map((_, k) => page.shape.slice(0, k).reduce((a, b) => a * b, 1));
    this.at = page.shape.map((size) => size >> 1);
    this.view = "moved";
    this.other = "moved";
    this.wipe = 50;
    this.squares = 10;
    this.lines = false;
    this.cross = this.ndim === 3;
    this.pending = false;
  }

  start(root) {
    root.append(this.controls());
    const panes = element("div", { className: this.ndim === 2 ? "panes only" : "panes" });
    this.panes = this.page.planes.map((plane) => new Pane(this, plane));
    panes.append(...this.panes.map((pane) => pane.figure));
    this.bar = element("div", { className: "bar", hidden: true });
    this.readout = element("p", { className: "readout" });
    this.readout.setAttribute("aria-live", "polite");
    root.append(panes, this.bar, this.readout);
    this.update();
  }

  controls() {
    const box = element("div", { className: "controls" });
    const views = [["moving", "Moving"], ["fixed", "Fixed"], ["moved", "Moved"], ["wipe", "Wipe"],
      ["checkerboard", "Checkerboard"], ["difference", "Difference"], ["jacobian", "Jacobian"]];
    if (this.volumes.uncertainty) views.push(["uncertainty", "Uncertainty"]);
    const group = (title, name, options, chosen, onChange) => {
      const place = element("div", { className: "choice" });
      choice(place, name, options, chosen, onChange);
      return element("fieldset", {}, element("legend", { textContent: title }), place);
    };
    this.otherGroup = group("Beside the fixed image", "other", [["moving", "Before: moving"], ["moved", "After: moved"]],
      this.other, (value) => this.set({ other: value }));
    const input = element("input", { type: "range", min: 0, max: 100, value: 50 });
    input.addEventListener("input", () =>
      this.set(this.view === "wipe" ? { wipe: +input.value } : { squares: 2 + Math.round(+input.value / 4) }));
    this.amountName = element("span");
    this.amount = element("label", { className: "slider" }, this.amountName, input);
    this.amountInput = input;
    const overlays = element("div", { className: "choice" });
    const marks = [["lines", "Warped grid"]];
    if (this.ndim === 3) marks.push(["cross", "Crosshair"]);
    for (const [name, label] of marks) {
      const box = element("input", { type: "checkbox", name, checked: this[name] });
      box.addEventListener("change", () => this.set({ [name]: box.checked }));
      overlays.append(element("label", {}, box, element("span", { textContent: label })));
    }
    box.append(group("View", "view", views, this.view, (value) => this.set({ view: value })), this.otherGroup, this.amount,
      element("fieldset", {}, element("legend", { textContent: "On top" }), overlays));
    return box;
  }

  set(changes) {
    Object.assign(this, changes);
    if ("view" in changes) this.amountInput.value = this.view === "wipe" ? this.wipe : (this.squares - 2) * 4;
    this.update();
  }

  move(axis, index) {
    this.at[axis] = Math.max(0, Math.min(this.page.shape[axis] - 1, Math.round(index)));
    this.update();
  }

  // At most one drawing a frame, however fast a slider sends its events.
  update() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      const compares = ["wipe", "checkerboard", "difference"].includes(this.view);
      this.otherGroup.hidden = !compares;
      this.amount.hidden = !["wipe", "checkerboard"].includes(this.view);
      this.amountName.textContent = this.view === "wipe" ? "Fixed on the left, up to" : "Squares";
      this.panes.forEach((pane) => pane.draw());
      this.drawBar();
      this.readout.textContent = this.said();
    });
  }

  offset(index) {
    return index.reduce((sum, k, axis) => sum + k * this.strides[axis], 0);
  }

  value(name, offset) {
    const { low, high } = this.page.layers[name];
    return low + ((high - low) * this.volumes[name][offset]) / 255;
  }

  drawBar() {
    const ticks = { jacobian: ["½", "0.71", "1", "1.41", "2"], uncertainty: null }[this.view];
    this.bar.hidden = ticks === undefined;
    if (this.bar.hidden || this.bar.dataset.view === this.view) return;
    this.bar.dataset.view = this.view;
    const canvas = element("canvas", { width: 256, height: 1 });
    canvas.setAttribute("aria-hidden", "true");
    const context = canvas.getContext("2d");
    const picture = context.createImageData(256, 1);
    const colours = this.page.colours[this.view];
    for (let i = 0; i < 256; i++) {
      // Of the Jacobian the codes in the middle: what lies beyond has the colour of the end.
      const code = this.view === "jacobian" ? Math.round(64.5 + (127 * i) / 255) : i;
      for (let c = 0; c < 3; c++) picture.data[4 * i + c] = colours[3 * code + c];
      picture.data[4 * i + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
    const high = this.view === "uncertainty" ? this.page.layers.uncertainty.high : 0;
    const labels = ticks || [0, 0.25, 0.5, 0.75, 1].map((part) => (part * high).toPrecision(2));
    const title = this.view === "jacobian"
      ? "Local volume in the moving image over that in the fixed one, on a logarithmic scale"
      : "Standard deviation of the displacement, mm";
    const folds = element("span");
    if (this.view === "jacobian") folds.append(element("i", { className: "chip" }), " folded");
    this.bar.replaceChildren(element("span", { className: "title", textContent: title }), canvas, folds,
      element("div", { className: "ticks" }, ...labels.map((label) => element("span", { textContent: label }))));
  }

  said() {
    const { shape, spacing, affine } = this.page;
    const at = this.ndim === 3 ? this.at : this.pointed;
    if (!at) return "Point at the image to read its numbers.";
    const offset = this.offset(at);
    const world = shape.map((_, r) => shape.reduce((sum, _, c) => sum + affine[r][c] * at[c], affine[r][this.ndim]));
    const shifts = shape.map((_, k) => this.value(`displacement${k}`, offset) * spacing[k]);
    const parts = [`At (${world.map((x) => x.toFixed(1)).join(", ")}) mm: displacement ${Math.hypot(...shifts).toFixed(1)} mm`];
    parts.push(this.volumes.jacobian[offset] === 0 ? "folded here"
      : `local volume × ${(2 ** this.value("jacobian", offset)).toFixed(2)}`);
    if (this.volumes.uncertainty) parts.push(`uncertainty ${this.value("uncertainty", offset).toPrecision(2)} mm`);
    const grey = (name) => this.value(name, offset).toFixed(2);
    parts.push(`intensity moving ${grey("moving")}, fixed ${grey("fixed")}, moved ${grey("moved")}`);
    return parts.join(" · ");
  }
}

class Pane {
  constructor(viewer, plane) {
    this.viewer = viewer;
    this.plane = plane;
    const { shape, spacing } = viewer.page;
    this.width = shape[plane.across];
    this.height = shape[plane.up];
    const wide = this.width * spacing[plane.across], high = this.height * spacing[plane.up];
    this.base = element("canvas", { width: this.width, height: this.height });
    this.base.setAttribute("role", "img");
    this.aspect = spacing[plane.up] / spacing[plane.across];
    // Pixels of the upper canvas are squares, so lines are as thick along every axis.
    const zoom = 800 / Math.max(wide, high);
    this.top = element("canvas", { width: Math.ceil(wide * zoom), height: Math.ceil(high * zoom) });
    this.top.setAttribute("aria-hidden", "true");
    this.screen = element("div", { className: "screen" }, this.base, this.top);
    this.screen.style.aspectRatio = `${wide} / ${high}`;
    // A tall plane is not to fill more than the window.
    this.screen.style.maxWidth = `${(34 * wide) / high}rem`;
    const places = [["left", "top"], ["right", "top"], ["top", "left"], ["bottom", "left"]];
    [...plane.letters].forEach((letter, k) => {
      const mark = element("span", { className: "letter", textContent: letter });
      mark.style[places[k][0]] = ".35rem";
      mark.style[places[k][1]] = "calc(50% - .6em)";
      this.screen.append(mark);
    });
    this.caption = element("span");
    this.figure = element("figure", { className: "pane" }, this.screen);
    if (plane.axis !== null) {
      this.slider = element("input", { type: "range", min: 0, max: shape[plane.axis] - 1, value: viewer.at[plane.axis] });
      this.slider.addEventListener("input", () => viewer.move(plane.axis, +this.slider.value));
      this.figure.append(element("figcaption", {}, element("label", {}, this.caption, this.slider)));
    }
    for (const kind of ["pointerdown", "pointermove"]) this.screen.addEventListener(kind, (event) => this.point(event));
  }

  point(event) {
    const { viewer, plane } = this;
    if (viewer.ndim === 3 && !event.buttons) return;
    const box = this.screen.getBoundingClientRect();
    const across = ((event.clientX - box.left) / box.width) * this.width - 0.5;
    const down = ((event.clientY - box.top) / box.height) * this.height - 0.5;
    const up = plane.downwards ? down : this.height - 1 - down;
    if (viewer.ndim === 2) {
      const inside = (x, size) => Math.max(0, Math.min(size - 1, Math.round(x)));
      viewer.pointed = [inside(up, this.height), inside(across, this.width)];
      viewer.update();
      return;
    }
    viewer.move(plane.across, across);
    viewer.move(plane.up, up);
  }

  // Calls visit(pixel, offset, column, row) for every pixel of the slice.
  each(visit) {
    const { viewer, plane } = this;
    const index = viewer.page.shape.map(() => 0);
    if (plane.axis !== null) index[plane.axis] = viewer.at[plane.axis];
    const start = viewer.offset(index), right = viewer.strides[plane.across], up = viewer.strides[plane.up];
    for (let row = 0, pixel = 0; row < this.height; row++) {
      const line = start + (plane.downwards ? row : this.height - 1 - row) * up;
      for (let column = 0; column < this.width; column++, pixel++) visit(pixel, line + column * right, column, row);
    }
  }

  draw() {
    const { viewer, plane } = this;
    const { fixed } = viewer.volumes, other = viewer.volumes[viewer.other], shown = viewer.volumes[viewer.view];
    const context = this.base.getContext("2d");
    const picture = context.createImageData(this.width, this.height);
    const colours = viewer.page.colours[viewer.view];
    const edge = (viewer.wipe / 100) * this.width;
    const square = Math.max(this.width, this.height * this.aspect) / viewer.squares;
    const grey = {
      wipe: (offset, column) => (column < edge ? fixed : other)[offset],
      checkerboard: (offset, column, row) =>
        ((Math.floor(column / square) + Math.floor((row * this.aspect) / square)) % 2 ? other : fixed)[offset],
      difference: (offset) => Math.abs(fixed[offset] - other[offset]),
    }[viewer.view] || ((offset) => shown[offset]);
    this.each((pixel, offset, column, row) => {
      const code = grey(offset, column, row);
      for (let c = 0; c < 3; c++) picture.data[4 * pixel + c] = colours ? colours[3 * code + c] : code;
      picture.data[4 * pixel + 3] = 255;
    });
    context.putImageData(picture, 0, 0);
    this.drawTop();
    if (plane.axis !== null) {
      const at = viewer.at[plane.axis], size = viewer.page.shape[plane.axis];
      this.caption.textContent = `${plane.name[0].toUpperCase()}${plane.name.slice(1)}, slice ${at + 1} of ${size}`;
      this.slider.value = at;
    }
    this.base.setAttribute("aria-label", `${viewer.view}, ${this.caption.textContent || plane.name}`);
  }

  drawTop() {
    const { viewer, plane } = this;
    const context = this.top.getContext("2d");
    context.clearRect(0, 0, this.top.width, this.top.height);
    if (viewer.lines) this.drawLines(context);
    context.lineWidth = Math.max(1, this.top.width / 400);
    const stroke = (x0, y0, x1, y1) => {
      context.beginPath(); context.moveTo(x0, y0); context.lineTo(x1, y1); context.stroke();
    };
    if (viewer.view === "wipe") {
      const x = (viewer.wipe / 100) * this.top.width;
      context.strokeStyle = "#ffd54a";
      stroke(x, 0, x, this.top.height);
    }
    if (viewer.cross && plane.axis !== null) {
      const x = ((viewer.at[plane.across] + 0.5) / this.width) * this.top.width;
      const y = (1 - (viewer.at[plane.up] + 0.5) / this.height) * this.top.height;
      context.strokeStyle = "rgba(255, 233, 168, .55)";
      stroke(x, 0, x, this.top.height);
      stroke(0, y, this.top.width, y);
    }
  }

  // Lines of the moving image where the displacement brings them, gridStep voxels of the finest axis apart.
  drawLines(context) {
    const { viewer, plane } = this;
    const { gridStep, shape, spacing } = viewer.page;
    const wide = this.top.width, high = this.top.height;
    const picture = context.createImageData(wide, high);
    const finest = Math.min(...spacing);
    const locations = [plane.across, plane.up].map((axis) => {
      const step = (gridStep * finest) / spacing[axis];
      const field = new Float32Array(this.width * this.height);
      this.each((pixel, offset, column, row) => {
        const index = axis === plane.across ? column : plane.downwards ? row : shape[axis] - 1 - row;
        field[pixel] = (index + viewer.value(`displacement${axis}`, offset)) / step;
      });
      return field;
    });
    // Pixels from one line to the next where nothing is deformed.
    const apart = (gridStep * finest * wide) / (this.width * spacing[plane.across]);
    const weights = (size, count) => Array.from({ length: count }, (_, k) => {
      const at = Math.max(0, Math.min(size - 1, ((k + 0.5) * size) / count - 0.5));
      const low = Math.min(Math.floor(at), Math.max(0, size - 2));
      return [low, Math.min(low + 1, size - 1), at - low];
    });
    const columns = weights(this.width, wide), rows = weights(this.height, high);
    for (let y = 0, pixel = 0; y < high; y++) {
      const [r0, r1, fy] = rows[y];
      for (let x = 0; x < wide; x++, pixel++) {
        const [c0, c1, fx] = columns[x];
        let alpha = 0;
        for (const field of locations) {
          const above = field[r0 * this.width + c0] * (1 - fx) + field[r0 * this.width + c1] * fx;
          const below = field[r1 * this.width + c0] * (1 - fx) + field[r1 * this.width + c1] * fx;
          const phase = above * (1 - fy) + below * fy;
          const far = Math.abs(phase - Math.round(phase)) * apart;
          alpha = Math.max(alpha, Math.min(1, 1.6 - far));
        }
        if (alpha <= 0) continue;
        picture.data.set([255, 213, 74, 230 * alpha], 4 * pixel);
      }
    }
    context.putImageData(picture, 0, 0);
  }
}

// A volume as NIfTI in memory: what the 3-D viewer reads.
function nifti(page, codes) {
  const buffer = new ArrayBuffer(352 + codes.length);
  const header = new DataView(buffer);
  header.setInt32(0, 348, true);
  [3, ...page.shape, 1, 1, 1, 1].forEach((n, k) => header.setInt16(40 + 2 * k, n, true));
  header.setInt16(70, 2, true);
  header.setInt16(72, 8, true);
  [1, ...page.spacing, 0, 0, 0, 0].forEach((n, k) => header.setFloat32(76 + 4 * k, n, true));
  header.setFloat32(108, 352, true);
  header.setFloat32(112, 1, true);
  header.setUint8(123, 2);
  header.setInt16(254, 1, true);
  page.affine.slice(0, 3).forEach((row, r) => row.forEach((n, c) => header.setFloat32(280 + 16 * r + 4 * c, n, true)));
  new Uint8Array(buffer, 344, 4).set([110, 43, 49, 0]);
  new Uint8Array(buffer, 352).set(codes);
  return buffer;
}

async function startSolid(page, volumes) {
  const library = element("script", { textContent: new TextDecoder().decode(
    await inflated(document.getElementById("niivue").textContent)) });
  document.head.append(library);
  const viewer = new niivue.Niivue({ dragAndDropEnabled: false, loadingText: "", logLevel: "error", crosshairWidth: 1,
    crosshairWidthUnit: "voxels", crosshairColor: [1, 0.91, 0.66, 0.8], backColor: [0, 0, 0, 1], scrollRequiresFocus: true,
    show3Dcrosshair: false, isOrientationTextVisible: page.placed, multiplanarShowRender: 1 });
  await viewer.attachToCanvas(document.getElementById("solid-canvas"));
  const names = [["fixed", "Fixed"], ["moved", "Moved"], ["moving", "Moving"]];
  const show = async (name) => {
    const volume = await niivue.NVImage.new(nifti(page, volumes[name]), `${name}.nii`, "gray", 1);
    // What is darker is see-through in the rendering.
    volume.cal_min = 25;
    volume.cal_max = 255;
    for (const old of [...viewer.volumes]) viewer.removeVolume(old);
    viewer.addVolume(volume);
  };
  choice(document.getElementById("solid-image"), "solid-image", names, "fixed", show);
  choice(document.getElementById("solid-layout"), "solid-layout", [["render", "Whole"], ["slices", "Slices"]], "render",
    (value) => viewer.setSliceType(value === "render" ? viewer.sliceTypeRender : viewer.sliceTypeMultiplanar));
  const cut = document.getElementById("solid-cut");
  const clip = () => viewer.setClipPlane(+cut.value === 0 ? [2, 0, 0] : [0.6 - (1.2 * cut.value) / 100, 215, 10]);
  cut.addEventListener("input", clip);
  viewer.setSliceType(viewer.sliceTypeRender);
  viewer.setRenderAzimuthElevation(125, 15);
  viewer.setClipPlaneColor([1, 1, 1, 0]);
  await show("fixed");
  clip();
}

function hasWebGL() {
  const context = document.createElement("canvas").getContext("webgl2");
  if (!context) return false;
  const free = context.getExtension("WEBGL_lose_context");
  if (free) free.loseContext();
  return true;
}

async function start() {
  // Older browsers keep the still pictures.
  if (typeof DecompressionStream === "undefined") return;
  const page = JSON.parse(document.getElementById("volumes").textContent);
  const volumes = {};
  for (const [name, layer] of Object.entries(page.layers)) volumes[name] = await unpacked(layer);
  new Viewer(page, volumes).start(document.getElementById("viewer"));
  document.documentElement.classList.add("live");
  const solid = document.getElementById("solid");
  if (!solid || !hasWebGL()) return;
  solid.hidden = false;
  const watch = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    startSolid(page, volumes).catch(() => { solid.hidden = true; });
  });
  watch.observe(solid);
}

start();
