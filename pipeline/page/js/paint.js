// Maps, pictures and rasters on canvases. A canvas has whole numbers of its pixels per cell, so that cells stay sharp.
import { AGAINST, cover, FOR, OFF, ON, SILENT, VIRIDIS } from "./colours.js";
import { colour } from "./dom.js";
import { fires } from "./spikes.js";

const BRIGHTER = 1.25; // times as bright as the cells inside, as in pipeline/drawing/padding.py
const SIDE = 320; // canvas pixels of the longer side, at least

export function fit(canvas, [height, width], square = false) {
  const scaleOf = (side) => Math.max(1, Math.ceil(SIDE / side));
  const [down, across] = square ? [height, width].map(scaleOf) : Array(2).fill(scaleOf(Math.max(height, width)));
  if (canvas.width !== width * across || canvas.height !== height * down) {
    canvas.width = width * across;
    canvas.height = height * down;
  }
  return canvas.getContext("2d");
}

// heat: { map, shape }, and `signed`; most: what is brightest; back: a canvas, or null.
export function paintHeat(canvas, heat, most, opacity, back) {
  const context = fit(canvas, heat.shape);
  if (back) {
    context.imageSmoothingEnabled = false;
    context.drawImage(back, 0, 0, canvas.width, canvas.height);
  } else {
    context.fillStyle = colour("inset"); // which is 0 of what has signs, and is hidden by other maps
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  drawCells(context, heatCanvas(heat, most, back ? (share) => cover(share, opacity) : null), canvas);
}

// A pixel for each cell. It covers what is behind it by `covers` of its share of the most; if not given, of what has signs by
// its share, and else wholly.
export function heatCanvas({ map, shape, signed }, most, covers = null) {
  const cells = new ImageData(shape[1], shape[0]);
  const { data } = cells;
  for (let at = 0, to = 0; at < map.length; at++, to += 4) {
    const share = most > 0 ? Math.min(1, Math.abs(map[at]) / most) : 0;
    const shades = signed ? (map[at] < 0 ? AGAINST : FOR) : VIRIDIS;
    const from = signed ? 0 : 3 * Math.round(255 * share);
    for (let part = 0; part < 3; part++) data[to + part] = shades[from + part];
    data[to + 3] = 255 * (covers ? covers(share) : signed ? share : 1);
  }
  return cellsCanvas(cells);
}

// The cells of a band, in a square whatever its shape: over it steps that come too late; framed, the one that is shown.
export function paintBand(canvas, cells, { until, step }) {
  const context = fit(canvas, [cells.height, cells.width], true);
  context.fillStyle = colour("inset");
  context.fillRect(0, 0, canvas.width, canvas.height);
  drawCells(context, cells, canvas);
  paintSteps(context, cells.width, { until, step: null });
  if (step === null) return;
  const path = new Path2D();
  path.rect((step * canvas.width) / cells.width, 0, canvas.width / cells.width, canvas.height);
  twoTone(context, path, canvas.width / 160);
}

// A bar for each row of a band, as long as its share of the longest.
export function paintRows(canvas, values) {
  const most = Math.max(...values);
  [canvas.width, canvas.height] = [SIDE / 8, Math.max(SIDE, values.length)];
  const context = canvas.getContext("2d");
  const high = canvas.height / values.length;
  context.fillStyle = colour("text");
  for (const [row, value] of values.entries()) {
    context.fillRect(0, row * high, most > 0 ? (value / most) * canvas.width : 0, high);
  }
}

// What is not known yet.
export function paintNothing(canvas, shape) {
  const context = fit(canvas, shape);
  context.fillStyle = colour("inset");
  context.fillRect(0, 0, canvas.width, canvas.height);
  return context;
}

// Stripes stand where there is nothing to see, which a map that is zero would not tell.
export function paintStripes(canvas, shape) {
  const context = paintNothing(canvas, shape);
  context.strokeStyle = colour("line");
  context.lineWidth = 2;
  diagonals(context, 16);
}

function diagonals(context, apart) {
  const { width, height } = context.canvas;
  context.beginPath();
  for (let x = -height; x < width; x += apart) {
    context.moveTo(x, height);
    context.lineTo(x + height, 0);
  }
  context.stroke();
}

// A picture as a canvas of its own size; grey and dimmed, it lets the colours of a map stand out.
export function pictureCanvas({ shape, pixels }, dimmed) {
  const cells = new ImageData(shape[1], shape[0]);
  for (let at = 0; at < shape[0] * shape[1]; at++) {
    const [red, green, blue] = pixels.subarray(3 * at, 3 * at + 3);
    const grey = 0.299 * red + 0.587 * green + 0.114 * blue;
    const mixed = dimmed ? [red, green, blue].map((part) => 0.55 * grey + 0.2 * part + 8) : [red, green, blue];
    cells.data.set([...mixed, 255], 4 * at);
  }
  return cellsCanvas(cells);
}

// The input's spikes, all channels together, in grey.
export function spikesCanvas(map, most, [height, width]) {
  const cells = new ImageData(width, height);
  for (let at = 0; at < map.length; at++) {
    const grey = 20 + (most > 0 ? (200 * map[at]) / most : 0);
    cells.data.set([grey, grey, grey, 255], 4 * at);
  }
  return cellsCanvas(cells);
}

// The events of one step: channel 0 of the input is OFF, channel 1 ON.
export function eventsCanvas(spikes, step) {
  const [, height, width] = spikes.shape;
  const cells = new ImageData(width, height);
  for (let at = 0; at < spikes.pixels; at++) {
    const [off, on] = [fires(spikes, at, step), fires(spikes, spikes.pixels + at, step)];
    const shade = SILENT.map((dark, part) => (on || off ? (on * ON[part] + off * OFF[part]) / (on + off) : dark));
    cells.data.set([...shade, 255], 4 * at);
  }
  return cellsCanvas(cells);
}

// Cells that see much padding are hatched, where they are brighter than the others: `rows` and `columns` of them.
export function paintPadding(canvas, heat, { rows, columns }) {
  const context = canvas.getContext("2d");
  const [height, width] = heat.shape;
  const [cellHeight, cellWidth] = [canvas.height / height, canvas.width / width];
  const cells = new Path2D();
  const [seen, sums] = [
    [0, 0],
    [0, 0],
  ]; // of the cells inside, and of those outside
  for (let at = 0; at < heat.map.length; at++) {
    const [row, column] = [Math.floor(at / width), at % width];
    const outside = rows.includes(row) || columns.includes(column) ? 1 : 0;
    seen[outside]++;
    sums[outside] += Math.abs(heat.map[at]);
    if (outside) cells.rect(column * cellWidth, row * cellHeight, cellWidth, cellHeight);
  }
  if (sums[1] / seen[1] <= (BRIGHTER * sums[0]) / seen[0]) return;
  context.save();
  context.clip(cells);
  context.strokeStyle = "rgb(255 255 255 / 0.7)";
  context.lineWidth = canvas.width / 300;
  diagonals(context, canvas.width / 40);
  context.restore();
}

// Where the object is: light and dark dashes, to be seen on anything.
export function paintObject(canvas, loaded, object) {
  const context = canvas.getContext("2d");
  const path = new Path2D();
  const [x0, y0, x1, y1] = loaded.sample.box ?? [];
  if (object === "box" && loaded.sample.box) {
    path.rect(x0 * canvas.width, y0 * canvas.height, (x1 - x0) * canvas.width, (y1 - y0) * canvas.height);
  } else if (object === "mask" && loaded.mask) {
    outline(path, loaded.mask, canvas);
  } else {
    return;
  }
  twoTone(context, path, canvas.width / 160);
}

// The cells that are silent are dark, with an outline.
export function paintSilenced(canvas, cells, [height, width]) {
  const pixels = new Uint8Array(height * width);
  for (const cell of cells) pixels[cell] = 1;
  const path = new Path2D();
  outline(path, { shape: [height, width], pixels }, canvas);
  const context = canvas.getContext("2d");
  context.fillStyle = "rgb(0 0 0 / 0.6)";
  const side = [canvas.width / width, canvas.height / height];
  for (const cell of cells) {
    context.fillRect((cell % width) * side[0], Math.floor(cell / width) * side[1], side[0], side[1]);
  }
  twoTone(context, path, canvas.width / 160);
}

// The cell that is looked at, in whole lines: dashes are the object's.
export function paintMarker(canvas, column, row, [height, width]) {
  const path = new Path2D();
  const side = [canvas.width / width, canvas.height / height];
  const room = Math.max(0, (canvas.width / 32 - side[0]) / 2); // a cell that is too small to see is framed from outside
  path.rect(column * side[0] - room, row * side[1] - room, side[0] + 2 * room, side[1] + 2 * room);
  twoTone(canvas.getContext("2d"), path, canvas.width / 160, []);
}

// neurons: which rows, from top to bottom. A spike is a mark with room around it, and at least two pixels wide, so that none
// is lost where there are more steps than pixels.
export function paintRaster(canvas, spikes, neurons, { width, height, until, step }) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  context.fillStyle = colour("inset");
  context.fillRect(0, 0, width, height);
  paintSteps(context, spikes.steps, { until, step });
  const [column, row] = [width / spikes.steps, height / neurons.length];
  const mark = [Math.min(10, Math.max(2, 0.6 * column)), Math.min(20, Math.max(1, row > 2.5 ? row - 1 : row))];
  context.fillStyle = colour("text");
  neurons.forEach((neuron, place) => {
    for (let at = 0; at < spikes.steps; at++) {
      if (fires(spikes, neuron, at))
        context.fillRect((at + 0.5) * column - mark[0] / 2, (place + 0.5) * row - mark[1] / 2, ...mark);
    }
  });
}

// lines: [{ values, colour, most }], each from 0 to its most, on a canvas that is as sharp as the screen.
export function paintLines(canvas, lines, { until, step, steps = lines[0].values.length }) {
  const sharp = window.devicePixelRatio;
  [canvas.width, canvas.height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * sharp));
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  paintSteps(context, steps, { until, step });
  for (const { values, colour: stroke, most } of lines) {
    context.beginPath();
    for (const [at, value] of values.entries()) {
      context.lineTo(
        ((at + 0.5) * width) / steps,
        height - 2 * sharp - (most > 0 ? value / most : 0) * (height - 4 * sharp),
      );
    }
    context.strokeStyle = stroke;
    context.lineWidth = 1.5 * sharp;
    context.stroke();
  }
}

// Behind a chart over time: steps that come too late, and the one that is shown.
function paintSteps(context, steps, { until, step }) {
  const { width, height } = context.canvas;
  context.fillStyle = colour("late");
  context.fillRect((until * width) / steps, 0, width, height);
  if (step === null) return;
  context.fillStyle = colour("now");
  context.fillRect((step * width) / steps, 0, Math.max(3, width / steps), height);
}

// Light on dark, to be seen on anything: the light one dashed, or thin where there are no dashes.
function twoTone(context, path, width, dashes = [4 * width, 3 * width]) {
  for (const [style, dash, thick] of [
    ["#000", [], dashes.length > 0 ? width : 2 * width],
    ["#fff", dashes, width],
  ]) {
    context.strokeStyle = style;
    context.lineWidth = thick;
    context.setLineDash(dash);
    context.stroke(path);
  }
  context.setLineDash([]);
}

function outline(path, { shape, pixels }, canvas) {
  const [height, width] = shape;
  const side = [canvas.width / width, canvas.height / height];
  const inside = (row, column) =>
    row >= 0 && row < height && column >= 0 && column < width && pixels[row * width + column] > 0;
  for (let row = 0; row <= height; row++) {
    for (let column = 0; column <= width; column++) {
      const [x, y] = [column * side[0], row * side[1]];
      if (inside(row, column) !== inside(row - 1, column)) {
        path.moveTo(x, y);
        path.lineTo(x + side[0], y);
      }
      if (inside(row, column) !== inside(row, column - 1)) {
        path.moveTo(x, y);
        path.lineTo(x, y + side[1]);
      }
    }
  }
}

function cellsCanvas(cells) {
  const made = document.createElement("canvas");
  made.width = cells.width;
  made.height = cells.height;
  made.getContext("2d").putImageData(cells, 0, 0);
  return made;
}

function drawCells(context, cells, canvas) {
  context.imageSmoothingEnabled = false;
  context.drawImage(cells, 0, 0, canvas.width, canvas.height);
}
