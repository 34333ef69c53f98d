// The pictures of a query: fetched ahead, and drawn with what is asked about outlined. The state `s`
// and what else is the page's is in page.js.
"use strict";

const MOST_PICTURES = 40; // queries whose pictures are kept
const pictures = new Map(); // query -> view -> image

function prepare(task) {
  s.known.set(task.query, task);
  if (pictures.has(task.query)) return pictures.get(task.query);
  const views = {};
  for (const view of ["crop", "around", "whole"]) {
    const image = new Image();
    image.src = `/image/${task.query}.jpg?view=${view}&of=${s.about.checksum.slice(0, 12)}`;
    image.decode().then(() => { views[view] = image; }, () => pictures.delete(task.query))
      .then(() => { if (s.task && s.task.query === task.query) draw(); });
  }
  pictures.set(task.query, views);
  for (const query of pictures.keys()) {
    if (pictures.size <= MOST_PICTURES) break;
    pictures.delete(query);
  }
  return views;
}

function draw() {
  const task = s.task;
  const views = task && pictures.get(task.query);
  if (!task) return;
  if (!views || !views.crop) {
    // Not fetched, or not yet: nobody answers what is not seen.
    clearTimeout(draw.timer);
    draw.timer = setTimeout(() => { if (s.task === task && !s.ready) { prepare(task); draw(); } }, 1000);
    return;
  }
  for (const view of ["crop", "around", "whole"]) if (views[view]) drawView(view, views[view]);
  if (s.ready) return;
  s.ready = true;
  s.shownAt = performance.now();
  $("main").dataset.query = task.query;
  if (s.pressedAt) {
    const from = s.pressedAt;
    s.pressedAt = 0;
    requestAnimationFrame(() => { $("main").dataset.ms = (performance.now() - from).toFixed(1); });
  }
}

function drawView(view, image) {
  const canvas = $(view);
  const task = s.task;
  let [top, left, height, width] = task.views[view];
  const ratio = window.devicePixelRatio || 1;
  const across = canvas.clientWidth;
  if (!across) return;
  let scale = across / width;
  if (view === "crop") {
    scale = ZOOMS[s.zoom];
    const shown = [canvas.clientHeight / scale, across / scale];
    [top, left] = [task.row + 0.5 - shown[0] / 2, task.col + 0.5 - shown[1] / 2];
    canvas.height = Math.round(canvas.clientHeight * ratio);
  } else {
    canvas.height = Math.round(height * scale * ratio);
  }
  canvas.width = Math.round(across * ratio);
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.imageSmoothingEnabled = view !== "crop";
  const [y, x, h, w] = task.views[view];
  const box = [(x - left) * scale, (y - top) * scale, w * scale, h * scale];
  // A picture may reach beyond the image, where there is nothing to see.
  c.save();
  c.beginPath();
  c.rect(-left * scale, -top * scale, task.width * scale, task.height * scale);
  c.clip();
  c.drawImage(image, ...box);
  light(c, image, box);
  c.restore();
  const side = 2 * task.radius + 1;
  const corner = [(task.col - task.radius - left) * scale, (task.row - task.radius - top) * scale];
  if (view === "crop" && s.byPixel) cells(c, corner, scale, side);
  const middle = corner.map((n) => n + (side * scale) / 2);
  const length = Math.max(side * scale, view === "crop" ? 1 : 7);
  if (view !== "crop") {
    // At the border the outline stays whole.
    const far = length / 2 + 6;
    const most = [across - far, height * scale - far];
    for (const i of [0, 1]) middle[i] = Math.min(Math.max(middle[i], far), Math.max(most[i], far));
  }
  outline(c, middle, length, view === "crop");
}

// Brighter: added to itself; darker: under grey. Of filters not all browsers know.
function light(c, image, box) {
  c.save();
  c.globalCompositeOperation = s.light > 0 ? "lighter" : "source-over";
  for (let left = Math.abs(s.light) / 2; left > 0; left -= 1) {
    c.globalAlpha = Math.min(left, 1);
    if (s.light > 0) c.drawImage(image, ...box);
    else { c.globalAlpha *= 0.5; c.fillStyle = "#000"; c.fillRect(...box); }
  }
  c.restore();
}

// White within black: one of them stands out from any picture. Around the pixels, never over them.
function outline(c, middle, length, ticks) {
  const half = length / 2;
  for (const [colour, thick, off] of [["#000", 6, 3], ["#fff", 2, 2]]) {
    c.strokeStyle = colour;
    c.lineWidth = thick;
    const far = half + off;
    c.strokeRect(middle[0] - far, middle[1] - far, 2 * far, 2 * far);
    if (!ticks) continue;
    c.beginPath();
    for (const [i, j] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      c.moveTo(middle[0] + i * (far + 3), middle[1] + j * (far + 3));
      c.lineTo(middle[0] + i * (far + 14), middle[1] + j * (far + 14));
    }
    c.stroke();
  }
}

function cells(c, [x, y], scale, side) {
  c.font = `600 ${Math.min(Math.max(scale * 0.7, 8), 18)}px monospace`;
  c.textAlign = "center";
  c.textBaseline = "middle";
  for (let i = 0; i < side * side; i += 1) {
    const at = [x + (i % side) * scale, y + Math.floor(i / side) * scale];
    c.lineWidth = 1;
    c.strokeStyle = "rgb(255 255 255 / 60%)";
    c.strokeRect(at[0] + 0.5, at[1] + 0.5, scale - 1, scale - 1);
    if (s.patch[i] !== UNANSWERED) {
      const text = s.patch[i] === VOID ? "v" : s.about.classes[s.patch[i]].key || "\u2022";
      const middle = [at[0] + scale / 2, at[1] + scale / 2 + 1];
      c.lineWidth = 3;
      c.strokeStyle = "#000";
      c.strokeText(text, ...middle);
      c.fillStyle = "#fff";
      c.fillText(text, ...middle);
    }
    if (i === s.cell) {
      for (const [colour, thick] of [["#000", 4], ["#fc0", 2]]) {
        c.strokeStyle = colour;
        c.lineWidth = thick;
        c.strokeRect(at[0] + 2, at[1] + 2, scale - 4, scale - 4);
      }
    }
  }
}
