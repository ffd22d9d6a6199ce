// The layers of a run, a map each, in the order in which they read each other; those without places show neurons over time.
import { backOf, dimmedOf } from "./back.js";
import { blocksOf } from "./blocks.js";
import { button, changes, colour, colourOf, element, named, say } from "./dom.js";
import { cellOf, heatOf, KINDS, momentsOfHeat, placeOf, rowsOf, stepOf } from "./heat.js";
import {
  heatCanvas,
  paintBand,
  paintHeat,
  paintLines,
  paintMarker,
  paintNothing,
  paintObject,
  paintPadding,
  paintRows,
  paintSilenced,
  paintStripes,
} from "./paint.js";
import { largest } from "./sam.js";
import { ratesOf } from "./spikes.js";
import { cellAt } from "./state.js";
import { joules, number, shapeOf } from "./words.js";

// Returns { node, show(state, loaded, most) }; most: kind -> largest value of all layers, where they share a scale.
export function makeLayers(run, index, change, titled) {
  const cards = run.layers.map((layer, at) => cardOf(run, index, layer, at, change));
  const none = element("p", { class: "quiet" });
  const list = blockList(run, index, cards, change);
  const maps = list?.node ?? element("div", { class: "maps" }, ...cards.map((card) => card.node));
  return {
    node: element("section", { class: "run" }, titled ? element("h2", {}, named(run.name)) : null, maps, none),
    show: (state, loaded, most) => {
      maps.classList.toggle("two", state.beside !== "");
      list?.show(state);
      const back = backOf(run, loaded, state);
      const still = state.behind === "nothing" ? null : dimmedOf(loaded); // for maps that no step changes
      for (const card of cards) card.show(state, loaded, most, { back, still });
      const label = KINDS[state.kind].label;
      const visible = cards.filter((card) => !card.node.hidden).length;
      maps.style.setProperty("--shown", visible);
      say(none, visible === 0 ? `This page holds no ${label} of this sample.` : "");
    },
  };
}

// A network of many layers as a list of its blocks, each folded to small maps or open: { node, show(state) }; null of few layers.
function blockList(run, index, cards, change) {
  const blocks = blocksOf(run.layers).map(({ name, layers }) => {
    const block = `${index} ${layers[0]}`;
    const fold = button("", () => change({ fold: block }), { class: "fold" });
    const count = layers.length === 1 ? shapeOf(run.layers[layers[0]]) : `${layers.length} layers`;
    const title = layers.length === 1 ? run.layers[layers[0]].name : name;
    fold.append(named(title), " ", element("small", {}, count));
    const maps = element("div", { class: "maps" }, ...layers.map((at) => cards[at].node));
    return { block, fold, maps, node: element("section", { class: "block" }, fold, maps) };
  });
  if (blocks.length === 0) return null;
  const all = button("", () => change({ open: all.dataset.open ? [] : blocks.map(({ block }) => block) }));
  return {
    node: element("div", { class: "blocks" }, all, ...blocks.map(({ node }) => node)),
    show: ({ open }) => {
      for (const { block, fold, node } of blocks) {
        node.classList.toggle("folded", !open.includes(block));
        fold.setAttribute("aria-expanded", open.includes(block));
      }
      const every = blocks.every(({ block }) => open.includes(block));
      all.dataset.open = every ? "all" : "";
      say(all, every ? "fold all blocks" : "open all blocks");
    },
  };
}

// Kind -> the largest value of all maps of a run; and "bands of" the kind, that of its bands.
export function largestOf(run, loaded, state) {
  const of = (kind, band) =>
    largest(run.layers.map((layer, at) => (layer.band === band && heatOf(run, loaded, at, kind, state).most) || 0));
  return Object.fromEntries(
    shownKinds(state).flatMap((kind) => [
      [kind, of(kind, false)],
      [bandsOf(kind), of(kind, true)],
    ]),
  );
}

function bandsOf(kind) {
  return `bands of ${kind}`;
}

export function shownKinds(state) {
  return state.beside ? [state.kind, state.beside] : [state.kind];
}

// A layer's name and shape, its map, and below, over time, how often it fires, in the colour of its curve beside the
// scrubber, and what its map sums to.
function cardOf(run, index, layer, at, change) {
  const figures = ["kind", "beside"].map((slot) =>
    !layer.band ? mapFigure(run, index, layer, at, slot, change) : bandFigure(run, index, layer, at, slot, change),
  );
  const line = element("canvas", { class: "line", "aria-hidden": true });
  const size = button("", () => change({ large: { run: index, layer: layer.name } }), { class: "size" });
  const title = element(
    "h3",
    { title: layer.name },
    element("span", {}, named(layer.name), " ", element("small", {}, shapeOf(layer))),
    size,
  );
  const changed = changes();
  const shown = element("div", { class: "figures" }, ...figures.map(({ node }) => node));
  const node = element("section", { class: "card" }, title, shown, line);
  return {
    node,
    show: (state, loaded, most, backs) => {
      for (const figure of figures) figure.show(state, loaded, most, backs);
      node.hidden = figures.every((figure) => figure.node.hidden);
      const large = isChosen(state.large, index, layer);
      node.classList.toggle("large", large);
      say(size, large ? "×" : "⤢");
      size.setAttribute("aria-label", `${large ? "shrink" : "enlarge"} ${layer.name}`);
      const step = state.view === "step" ? stepOf(run, state) : null;
      const moments = momentsOfHeat(run, loaded, at, state.kind, state);
      if (!changed(loaded, step, moments, line.clientWidth, colour("now"))) return;
      const values = ratesOf(loaded.spikes[at]);
      const curves = [{ values, most: largest(values), colour: colourOf(at, run.layers.length) }];
      if (moments) curves.push({ values: moments, most: largest(moments), colour: colour("text") });
      paintLines(line, curves, { until: Math.min(layer.matter, run.steps), step });
    },
  };
}

// Neurons over time, of a layer without places, and beside them what each neuron sums to.
function bandFigure(run, index, layer, at, slot, change) {
  const canvas = element("canvas", { role: "img", tabindex: 0, "data-layer": layer.name });
  const caption = element("figcaption");
  const rows = element("canvas", { class: "rows", "aria-hidden": true });
  const node = element("figure", { class: "band" }, canvas, rows, caption);
  node.style.setProperty("--neurons", layer.shape[1]);
  const [changed, drawn] = [changes(), changes()];
  let [cells, ranked] = [null, null];
  followPointer(canvas, run, index, layer, change, (row) => ranked?.[row] ?? row);
  return {
    node,
    show: (state, loaded, most) => {
      const kind = state[slot];
      const heat = kind ? heatOf(run, loaded, at, kind, state) : { missing: true };
      node.hidden = heat.missing === true;
      if (node.hidden) return;
      const step = state.view === "step" ? stepOf(run, state) : null;
      const brightest = state.scale === "all" ? most[bandsOf(kind)] : heat.most;
      const chosen = isChosen(state.pixel, index, layer);
      const neuron = chosen ? cellOf(state.pixel, layer.shape.slice(1)).cell : null;
      const silent = silentCells(run, state, layer);
      canvas.classList.toggle("chosen", chosen);
      if (!changed(heat.waiting ?? heat, brightest, step, neuron, silent, colour("inset"))) return;
      canvas.dataset.band = kind;
      if (heat.waiting) {
        paintNothing(canvas, heat.shape);
        paintRows(rows, []); // not those of the map before
        drawn(null); // the next map is drawn, even if it is the one before
        say(caption, WAITING);
        return;
      }
      if (drawn(heat, brightest, colour("inset"))) {
        cells = heatCanvas(heat, brightest); // not anew for each step
        paintRows(rows, rowsOf(heat));
      }
      ranked = heat.ranked;
      const rowOf = (which) => (ranked ? ranked.indexOf(which) : which);
      canvas.dataset.row = neuron === null ? layer.shape[1] >> 1 : rowOf(neuron);
      canvas.dataset.column = 0;
      paintBand(canvas, cells, { until: Math.min(layer.matter, run.steps), step });
      if (silent) paintSilenced(canvas, silent.map(rowOf), layer.shape.slice(1));
      if (chosen) paintMarker(canvas, 0, rowOf(neuron), layer.shape.slice(1));
      const label = KINDS[kind].label;
      say(caption, (state.beside ? `${label} ` : "") + rangeText(kind, brightest, true));
      const [neurons, steps] = heat.shape;
      const about = `${label} of ${layer.name}, ${neurons} neurons by ${steps} steps, largest ${number(heat.most)}`;
      canvas.setAttribute("aria-label", `${about}; ${KEYS} a neuron${run.integers ? ", Enter silences it" : ""}`);
    },
  };
}

const KEYS = "arrow keys choose";
const WAITING = "being computed …";

function isChosen(chosen, index, layer) {
  return chosen?.layer === layer.name && chosen.run === index;
}

function silentCells(run, { silenced }, layer) {
  return run.integers && silenced?.layer === layer.name ? silenced.cells : null;
}

function mapFigure(run, index, layer, at, slot, change) {
  const canvas = element("canvas", { role: "img", tabindex: 0, "data-layer": layer.name });
  const caption = element("figcaption");
  const node = element("figure", {}, canvas, caption);
  const changed = changes();
  followPointer(canvas, run, index, layer, change);
  return {
    node,
    show: (state, loaded, most, backs) => {
      const kind = state[slot];
      const heat = kind ? heatOf(run, loaded, at, kind, state) : { missing: true };
      node.hidden = heat.missing === true;
      if (node.hidden) return;
      const { opacity, object } = state;
      const pixel = placeOf(state);
      const { live, label } = KINDS[kind];
      const back = live ? backs.back : backs.still;
      const brightest = state.scale === "all" ? most[kind] : heat.most;
      const cell = cellOf(pixel ?? { x: 0.5, y: 0.5 }, heat.shape);
      canvas.dataset.kind = kind;
      canvas.dataset.row = cell.row;
      canvas.dataset.column = cell.column;
      canvas.classList.toggle("chosen", isChosen(state.pixel, index, layer));
      const silent = silentCells(run, state, layer);
      const place = [pixel && cell.cell, silent];
      if (!changed(heat.waiting ?? heat, brightest, ...place, back, opacity, object, colour("inset"))) return;
      if (heat.waiting) {
        paintNothing(canvas, heat.shape);
        say(caption, WAITING);
        return;
      }
      if (!heat.map) {
        paintStripes(canvas, heat.shape);
        say(caption, "too late to matter");
        canvas.setAttribute("aria-label", `${label} of ${layer.name}: too late to change the answer`);
        return;
      }
      paintHeat(canvas, heat, brightest, opacity, back);
      if (layer.padded) paintPadding(canvas, heat, layer.padded);
      paintObject(canvas, loaded, object);
      if (silent) paintSilenced(canvas, silent, heat.shape);
      if (pixel) paintMarker(canvas, cell.column, cell.row, heat.shape);
      say(caption, (state.beside ? `${label} ` : "") + rangeText(kind, brightest));
      const about = `${label} of ${layer.name}, ${heat.shape.join(" by ")}, largest ${number(heat.most)}`;
      canvas.setAttribute("aria-label", `${about}; ${KEYS} a place${run.integers ? ", Enter silences it" : ""}`);
    },
  };
}

function rangeText(kind, most, band = false) {
  if (KINDS[kind].unit === "J") {
    return band ? `0 … ${joules(most)} a neuron and step` : `all layers together, 0 … ${joules(most)} a place`;
  }
  if (KINDS[kind].signed && most === 0) return "nothing here speaks for it, or against it";
  return KINDS[kind].signed ? `±${number(most)}` : `0 … ${number(most)}`;
}

// A click or the arrow keys choose a place, of a band a neuron. Where the page can simulate what becomes of the answer, Enter
// silences it, and so does a mouse that is drawn over the map, with all on its way. Row `row` of the picture is `rowAt(row)`.
function followPointer(canvas, run, index, layer, change, rowAt = (row) => row) {
  const [, height, width] = layer.shape;
  const choose = (x, y) => {
    const [row, column] = [cellAt(y, height), cellAt(x, width)];
    Object.assign(canvas.dataset, { row, column }); // at once: the next key may come before the next frame
    const place = { x, y: y + (rowAt(row) - row) / height };
    change({ pixel: { run: index, layer: layer.name, band: layer.band, ...place } });
    requestAnimationFrame(() => canvas.scrollIntoView({ block: "nearest" })); // not behind the sheet
  };
  const pointOf = (event) => {
    const area = canvas.getBoundingClientRect();
    return [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
  };
  const cellUnder = (x, y) => rowAt(cellAt(y, height)) * width + cellAt(x, width);
  const silence = (cell, how) => change({ silence: { layer: layer.name, cell, ...how } });
  let begun = null; // the cell at which the mouse went down
  let drawn = false;
  canvas.addEventListener("pointerdown", (event) => {
    const draws = run.integers && event.pointerType === "mouse" && event.button === 0;
    begun = draws ? cellUnder(...pointOf(event)) : null;
    drawn = false;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (begun === null || event.buttons !== 1) return;
    const cell = cellUnder(...pointOf(event));
    if (cell === begun && !drawn) return;
    if (!drawn) silence(begun, { silent: true });
    drawn = true;
    silence(cell, { silent: true, more: true });
  });
  canvas.addEventListener("click", (event) => {
    if (!drawn) choose(...pointOf(event));
  });
  canvas.addEventListener("keydown", (event) => {
    const enters = run.integers && event.key === "Enter";
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!by && !enters) return;
    event.preventDefault();
    const [right, down] = by ?? [0, 0];
    const column = cellAt((Number(canvas.dataset.column) + right + 0.5) / width, width);
    const row = cellAt((Number(canvas.dataset.row) + down + 0.5) / height, height);
    choose((column + 0.5) / width, (row + 0.5) / height);
    if (enters) silence(rowAt(row) * width + column);
  });
}
