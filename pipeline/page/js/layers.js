// One run: its sample with the answer, and its layers side by side.
import { changes, element, say } from "./dom.js";
import { heatOf, KINDS, pixelOf, stepOf } from "./heat.js";
import { inputOf } from "./model.js";
import {
  eventsCanvas,
  fit,
  paintHeat,
  paintMarker,
  paintObject,
  paintPadding,
  paintRaster,
  paintSilenced,
  paintStripes,
  pictureCanvas,
  spikesCanvas,
} from "./paint.js";
import { largest } from "./sam.js";
import { spikesPerStep } from "./spikes.js";
import { cellAt } from "./state.js";
import { answerOf, isSpatial, joules, number, percent, shapeOf, sharesOfSample } from "./words.js";

const CARD_WIDTH = 280; // pixels, at most
const CARD_LEAST = 140; // with the gap beside it

// Returns { node, show(state, loaded, most) }; most: kind -> largest value of all layers, where they share a scale.
export function makeLayers(run, about, change) {
  const seen = sampleCard(run);
  const cards = run.layers.map((layer, at) =>
    isSpatial(layer) ? mapCard(run, layer, at, about, change) : rasterCard(run, layer, at),
  );
  const node = element("div", { class: "strip" }, seen.node, ...cards.map((card) => card.node));
  node.style.maxWidth = `${CARD_WIDTH * (cards.length + 1)}px`; // few layers are not spread over a wide page
  new ResizeObserver(() => arrange(node, seen.node, cards.length + 1)).observe(node);
  return {
    node,
    show: (state, loaded, most) => {
      const back = backOf(run, loaded, state);
      seen.show(state, loaded, back);
      const still = state.behind === "nothing" ? null : dimmed(loaded); // for maps that no step changes
      for (const card of cards) card.show(state, loaded, most, { back, still });
    },
  };
}

// Rows of equal length: where cards would be missing in the last one, the first card is as much wider.
function arrange(node, first, count) {
  const rows = Math.ceil(count / Math.max(1, Math.floor(node.clientWidth / CARD_LEAST)));
  const columns = Math.ceil(count / rows);
  node.style.setProperty("--columns", columns);
  first.style.gridColumn = `span ${Math.min(columns, 1 + columns * rows - count)}`;
}

// Kind -> the largest value of all layers of a run.
export function largestOf(run, loaded, state) {
  const most = {};
  for (const kind of Object.keys(KINDS).filter((each) => state[each])) {
    const heats = run.layers.map((layer, at) => (isSpatial(layer) ? heatOf(run, loaded, at, kind, state) : {}));
    most[kind] = largest(heats.map((heat) => heat.most ?? 0));
  }
  return most;
}

// What stands behind the maps: a canvas, or null.
function backOf(run, loaded, state) {
  const input = inputOf(run);
  const events = eventsOf(run, loaded, state);
  if (state.behind === "picture" && events) return events;
  if (state.behind === "picture" && loaded.picture) return run.events ? coloured(loaded) : dimmed(loaded);
  if (state.behind === "nothing" || input < 0) return null;
  const heat = heatOf(run, loaded, input, "count", state);
  if (heat.late) return null;
  if (loaded.input?.heat !== heat) loaded.input = { heat, canvas: spikesCanvas(heat.map, heat.most, heat.shape) };
  return loaded.input.canvas;
}

// The events of the step that is shown, as a canvas; null of the sum, whose picture is at hand.
function eventsOf(run, loaded, state) {
  if (!run.events || state.view === "sum" || inputOf(run) < 0) return null;
  const step = stepOf(run, state);
  if (loaded.events?.step !== step) loaded.events = { step, canvas: eventsCanvas(loaded.spikes[inputOf(run)], step) };
  return loaded.events.canvas;
}

function dimmed(loaded) {
  loaded.dimmed ??= loaded.picture && pictureCanvas(loaded.picture, true);
  return loaded.dimmed;
}

function coloured(loaded) {
  loaded.coloured ??= loaded.picture && pictureCanvas(loaded.picture, false);
  return loaded.coloured;
}

// Says so where more than half of the events lie in one step: then there is little else to see.
function crowdedOf(run, loaded) {
  if (!run.events || inputOf(run) < 0) return "";
  const counts = spikesPerStep(loaded.spikes[inputOf(run)]);
  const share = largest(counts) / counts.reduce((sum, count) => sum + count, 0);
  return share > 0.5 ? `${percent(share)} of its events lie in step ${counts.indexOf(largest(counts))}` : "";
}

function sampleCard(run) {
  const canvas = element("canvas", { role: "img" });
  const name = element("bdi", { class: "name" });
  const answer = element("strong");
  const crowded = element("small");
  const shares = element("ul", { class: "shares" });
  const changed = changes();
  return {
    node: element("section", { class: "card" }, element("h3", {}, name), canvas, answer, crowded, shares),
    show: (state, loaded, back) => {
      const { sample, picture } = loaded;
      const shown = eventsOf(run, loaded, state) ?? coloured(loaded) ?? back;
      if (!changed(loaded, shown, state.object)) return;
      canvas.hidden = !shown;
      if (shown) {
        const context = fit(canvas, [shown.height, shown.width]);
        context.imageSmoothingEnabled = false;
        context.drawImage(shown, 0, 0, canvas.width, canvas.height);
        paintObject(canvas, loaded, state.object);
      }
      canvas.setAttribute("aria-label", picture ? `${sample.name} as the network saw it` : "spikes of the input");
      say(name, sample.name);
      say(answer, answerOf(sample, loaded.whatIf));
      say(crowded, crowdedOf(run, loaded));
      shares.replaceChildren(
        ...sharesOfSample(loaded).map(([of, share, before]) =>
          element(
            "li",
            { class: before === undefined ? null : "changed" },
            element("bdi", {}, of),
            element("meter", { value: share, "aria-label": `share of ${of}` }),
            before === undefined ? percent(share) : `${percent(before)} → ${percent(share)}`,
          ),
        ),
      );
    },
  };
}

function mapCard(run, layer, at, about, change) {
  const here = (kind) => run.samples.some((sample) => sample.maps[kind]?.some(({ layers }) => layers[layer.name]));
  const kinds = about.kinds.filter((kind) => !KINDS[kind].alone || here(kind));
  const maps = kinds.map((kind) => mapFigure(run, layer, at, kind, change));
  const late = layer.matter < run.steps ? `steps 0 … ${layer.matter - 1} matter` : "every step can still matter";
  return {
    node: element(
      "section",
      { class: "card" },
      heading(layer),
      ...maps.map((map) => map.node),
      element("p", { class: "quiet" }, late),
    ),
    show: (state, loaded, most, backs) => {
      for (const map of maps) map.show(state, loaded, most, backs);
    },
  };
}

function mapFigure(run, layer, at, kind, change) {
  const canvas = element("canvas", { role: "img", tabindex: 0, "data-layer": layer.name, "data-kind": kind });
  const caption = element("figcaption");
  const node = element("figure", {}, caption, canvas);
  const changed = changes();
  followPointer(canvas, layer, change, run.integers !== null);
  return {
    node,
    show: (state, loaded, most, backs) => {
      const back = KINDS[kind].live ? backs.back : backs.still;
      node.hidden = !state[kind];
      if (node.hidden) return;
      const heat = heatOf(run, loaded, at, kind, state);
      const brightest = state.scale === "all" ? most[kind] : heat.most;
      const cell = cellOf(run, loaded, at, state);
      canvas.dataset.row = cell.row;
      canvas.dataset.column = cell.column;
      const theme = getComputedStyle(node).color; // what stripes and zero look like
      const { opacity, object } = state;
      const silent = run.integers && state.silenced?.layer === layer.name ? state.silenced.cells : null;
      const place = [cell.row, cell.column, cell.shown, silent];
      if (!changed(heat.map, heat.late, brightest, ...place, back, opacity, object, theme)) return;
      if (!heat.map) {
        paintStripes(canvas, heat.shape);
        say(caption, `${heat.title}: ${heat.late ? "too late to matter" : "none"}`);
        canvas.setAttribute("aria-label", `${layer.name}: ${heat.late ? "too late to change the answer" : "no map"}`);
        return;
      }
      paintHeat(canvas, heat, brightest, opacity, back);
      if (layer.padded) paintPadding(canvas, heat, layer.padded);
      paintObject(canvas, loaded, object);
      if (silent) paintSilenced(canvas, silent, heat.shape);
      if (cell.shown) paintMarker(canvas, cell.column, cell.row, heat.shape);
      say(caption, captionOf(heat, kind, brightest));
      const about = `${heat.title} of ${layer.name}, ${heat.shape.join(" by ")}, largest ${number(heat.most)}`;
      canvas.setAttribute(
        "aria-label",
        `${about}; arrow keys choose a pixel${run.integers ? ", Enter silences it" : ""}`,
      );
    },
  };
}

function captionOf(heat, kind, brightest) {
  if (KINDS[kind].signed) return `${heat.title} ±${number(brightest)} for ${heat.of}, all steps`;
  return `${heat.title} ≤ ${KINDS[kind].unit === "J" ? `${joules(brightest)} a pixel` : number(brightest)}`;
}

// Where the pointer was last: a browser also tells of a move when the page has moved under a pointer that rests.
let rested = null;

// The pointer, a finger or the arrow keys choose the pixel to look at. Where the page can simulate what becomes of the answer,
// a click silences it, and so does a tap or Enter; a mouse that is drawn over the map silences all on its way.
function followPointer(canvas, layer, change, silences) {
  const [, height, width] = layer.shape;
  const choose = (x, y) => {
    canvas.dataset.row = cellAt(y, height); // at once: the next key may come before the next frame
    canvas.dataset.column = cellAt(x, width);
    change({ pixel: { layer: layer.name, x, y } });
  };
  const look = (event) => {
    const place = `${event.clientX} ${event.clientY}`;
    if (event.type === "pointermove" && place === rested) return;
    rested = place;
    const area = canvas.getBoundingClientRect();
    choose((event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height);
  };
  const chosen = () => Number(canvas.dataset.row) * width + Number(canvas.dataset.column);
  const silence = (silent) => {
    const cell = chosen();
    const { silenced } = change({ silence: { layer: layer.name, cell, silent } });
    return silenced?.layer === layer.name && silenced.cells.includes(cell);
  };
  let drawn = null; // whether the mouse that is down silences, or lets fire again
  canvas.addEventListener("pointermove", (event) => {
    look(event);
    if (silences && event.pointerType === "mouse" && event.buttons === 1 && drawn !== null) silence(drawn);
  });
  canvas.addEventListener("pointerdown", (event) => {
    look(event);
    drawn = silences && event.pointerType === "mouse" && event.button === 0 ? silence() : null;
  });
  canvas.addEventListener("click", () => {
    if (silences && drawn === null) silence(); // of a finger, which also scrolls
  });
  canvas.addEventListener("keydown", (event) => {
    const enters = silences && event.key === "Enter";
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!by && !enters) return;
    event.preventDefault();
    const [right, down] = by ?? [0, 0];
    const column = cellAt((Number(canvas.dataset.column) + right + 0.5) / width, width);
    const row = cellAt((Number(canvas.dataset.row) + down + 0.5) / height, height);
    choose((column + 0.5) / width, (row + 0.5) / height);
    if (enters) silence();
  });
}

// The cell of this layer that stands for the pixel looked at, and whether it is shown there.
function cellOf(run, loaded, at, state) {
  const [, height, width] = run.layers[at].shape;
  const pixel = pixelOf(run, loaded, state);
  if (pixel.at === at) return { ...pixel, shown: true };
  if (!state.pixel) return { row: Math.floor(height / 2), column: Math.floor(width / 2), shown: false };
  return { row: cellAt(state.pixel.y, height), column: cellAt(state.pixel.x, width), shown: true };
}

function rasterCard(run, layer, at) {
  const canvas = element("canvas", { role: "img", "aria-label": `spikes of ${layer.name}, neurons by steps` });
  const neurons = Array.from({ length: layer.shape[0] * layer.shape[1] * layer.shape[2] }, (_, neuron) => neuron);
  const caption = element("p", { class: "quiet" }, `no map: a row is a neuron, a column a step, 0 … ${run.steps - 1}`);
  const changed = changes();
  return {
    node: element("section", { class: "card" }, heading(layer), canvas, caption),
    show: (state, loaded) => {
      const step = state.view === "step" ? stepOf(run, state) : null;
      if (!changed(loaded, step, getComputedStyle(caption).color)) return;
      const until = Math.min(layer.matter, run.steps);
      paintRaster(canvas, loaded.spikes[at], neurons, {
        width: 320,
        height: Math.min(480, 24 * neurons.length),
        until,
        step,
      });
    },
  };
}

function heading(layer) {
  return element("h3", {}, element("span", { class: "name" }, layer.name), " ", element("small", {}, shapeOf(layer)));
}
