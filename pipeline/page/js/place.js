// The chosen place: who fires there, its SAM over time, whom it attends to; and what if it were silent. A band has neurons.
import { attendedTo } from "./attention.js";
import { button, changes, colour, element, say } from "./dom.js";
import { cellOf, stepOf } from "./heat.js";
import { paintHeat, paintLines, paintMarker, paintRaster } from "./paint.js";
import { largest, scoreOverTime } from "./sam.js";
import { spikesOf } from "./spikes.js";
import { number, percent, placeText } from "./words.js";

const SIDES = { width: 640, height: 320 }; // canvas pixels, at most
const ROW = 64; // of a neuron, at most

// Returns { node, show(state, loaded) }, of the run in which the place lies.
export function makePlace(runs, change) {
  const [title, about] = [element("h2"), element("p", { class: "quiet" })];
  const raster = element("canvas", { role: "img" });
  const score = element("p", { class: "quiet" });
  const line = element("canvas", { role: "img", class: "line" });
  const attention = makeAttention();
  const silence = makeSilence(change);
  const changed = changes();
  const close = button("×", () => change({ pixel: null }), { class: "close", "aria-label": "close" });
  const parts = [close, title, about, raster, silence.node, attention.node, score, line];
  const node = element("aside", { class: "place", "aria-label": "The chosen place" }, ...parts);
  return {
    node,
    show: (state, samples) => {
      const { pixel, gamma } = state;
      const [run, loaded] = [runs[pixel?.run ?? 0], samples[pixel?.run ?? 0]];
      const at = pixel ? run.layers.findIndex((layer) => layer.name === pixel.layer) : -1;
      node.hidden = at < 0 || loaded === null;
      document.body.classList.toggle("chosen", !node.hidden);
      if (node.hidden) return;
      const layer = run.layers[at];
      const cell = cellOf(pixel, layer.shape.slice(1));
      const step = state.view === "step" ? stepOf(run, state) : null;
      if (!changed(loaded, at, cell.cell, gamma, step, colour("text"), state.silenced, line.clientWidth)) return;
      const spikes = loaded.spikes[at];
      const neurons = Array.from({ length: layer.shape[0] }, (_, channel) => channel * spikes.pixels + cell.cell);
      const scores = [...scoreOverTime(spikes, gamma, cell.cell)];
      const most = number(largest(scores));
      const marks = { until: Math.min(layer.matter, run.steps), step };
      const height = Math.min(SIDES.height, ROW * neurons.length);
      paintRaster(raster, spikes, neurons, { width: SIDES.width, height, ...marks });
      paintLines(line, [{ values: scores, most: largest(scores), colour: colour("accent") }], marks);
      const several = neurons.length > 1 ? `${neurons.length} channels` : "one neuron";
      say(title, `${layer.name} · ${placeText(layer, cell.cell)}`);
      const count = neurons.reduce((sum, neuron) => sum + spikesOf(spikes, neuron), 0);
      const spoken = `${count} spike${count === 1 ? "" : "s"}, ${percent(count / (neurons.length * run.rated))} of ${run.rated} steps`;
      say(about, `${several}: ${spoken}`);
      say(score, `SAM here, step by step, for γ = ${gamma.toFixed(2)}: 0 … ${most}`);
      raster.setAttribute("aria-label", `spikes of ${several} over ${run.steps} steps`);
      line.setAttribute("aria-label", `SAM over ${run.steps} steps, largest ${most}`);
      silence.show(state, run, at, cell.cell);
      attention.show(run, loaded, at, cell, step);
    },
  };
}

// Whom the token attends to in the block that its layer is of, a map for each head.
function makeAttention() {
  const said = element("p", { class: "quiet" });
  const heads = element("div", { class: "heads" });
  const node = element("div", {}, said, heads);
  return {
    node,
    show: (run, loaded, at, token, step) => {
      const pair = run.layers[at].band ? undefined : run.attention.find(({ layers }) => layers.includes(at));
      node.hidden = pair === undefined;
      if (node.hidden) return;
      const key = run.layers[pair.key];
      const shape = key.shape.slice(1);
      const until = Math.min(key.matter, run.steps);
      const maps = Array.from({ length: pair.heads }, (_, head) =>
        attendedTo(loaded.spikes, pair, { token: token.cell, head, step, until }),
      );
      const most = Math.max(...maps.map((each) => each.most));
      const each = pair.heads > 1 ? `, head by head (${pair.heads})` : "";
      say(said, `whom it attends to${each}, ${step === null ? "all steps" : `step ${step}`}: 0 … ${most}`);
      heads.replaceChildren(
        ...maps.map(({ map }, head) => {
          const canvas = element("canvas", { role: "img", "aria-label": `attention of head ${head}` });
          paintHeat(canvas, { map, shape }, most, 1, null);
          paintMarker(canvas, token.column, token.row, shape);
          return canvas;
        }),
      );
    },
  };
}

// Buttons that silence the place, or a channel of its layer; or why the page cannot.
function makeSilence(change) {
  let shown = null; // the layer and the place
  const silence = (chosen) => change({ silence: { layer: shown.layer, ...chosen } });
  const place = button("", () => silence({ cell: shown.cell }));
  const channel = element("select", {
    name: "channel",
    "aria-label": "silence a channel, or let it fire again",
    onchange: () => silence({ channel: Number(channel.value) }),
  });
  const why = element("p", { class: "quiet" });
  const buttons = element("p", { class: "buttons" }, place, " ", channel);
  return {
    node: element("div", {}, buttons, why),
    show: ({ silenced }, run, at, cell) => {
      const { name, shape, band } = run.layers[at];
      buttons.hidden = run.integers === null;
      say(why, run.unsilenced ?? "");
      const own = silenced?.layer === name ? silenced : { cells: [], channels: [] };
      const thing = band ? "neuron" : "place";
      shown = { layer: name, cell };
      say(place, own.cells.includes(cell) ? `let this ${thing} fire again` : `silence this ${thing}`);
      channel.hidden = band;
      const options = Array.from({ length: shape[0] }, (_, number) =>
        element("option", { value: number }, `channel ${number}${own.channels.includes(number) ? " (silent)" : ""}`),
      );
      channel.replaceChildren(element("option", { value: "", hidden: true }, "silence a channel"), ...options);
      channel.value = "";
    },
  };
}
