// The pixel that is looked at: when its channels fire, and its score at every step.
import { changes, element, say } from "./dom.js";
import { pixelOf, stepOf } from "./heat.js";
import { paintLines, paintRaster } from "./paint.js";
import { largest, scoreOverTime } from "./sam.js";
import { makeSilence } from "./silence.js";
import { number } from "./words.js";

const WIDTH = 640; // canvas pixels

// Returns { node, show(state, loaded) }.
export function makePixel(run, change) {
  const title = element("h3");
  const raster = element("canvas", { role: "img" });
  const line = element("canvas", { role: "img", class: "line", width: WIDTH, height: 200 });
  const channels = element("p", { class: "quiet" });
  const score = element("p", { class: "quiet" });
  const silence = makeSilence(run, change);
  const changed = changes();
  const node = element(
    "section",
    { class: "pixel" },
    title,
    ...(silence ? [silence.node] : []),
    element("div", {}, channels, raster),
    element("div", {}, score, line),
  );
  return {
    node,
    show: (state, loaded) => {
      const pixel = pixelOf(run, loaded, state);
      node.hidden = pixel === null;
      if (pixel === null) return;
      node.classList.toggle("chosen", state.pixel !== null); // then it stays in sight
      const layer = run.layers[pixel.at];
      const step = state.view === "step" ? stepOf(run, state) : null;
      const marks = { until: Math.min(layer.matter, run.steps), step };
      const theme = getComputedStyle(title).color;
      if (!changed(loaded, pixel.at, pixel.row, pixel.column, state.gamma, step, theme, state.silenced)) return;
      silence?.show(state, loaded, pixel);
      const spikes = loaded.spikes[pixel.at];
      const place = pixel.row * layer.shape[2] + pixel.column;
      const neurons = Array.from({ length: layer.shape[0] }, (_, channel) => channel * spikes.pixels + place);
      const scores = [...scoreOverTime(spikes, state.gamma, place)];
      const most = number(largest(scores));
      paintRaster(raster, spikes, neurons, { width: WIDTH, height: 200, ...marks });
      paintLines(line, [{ values: scores, dashed: false }], largest(scores), marks);
      say(title, `A pixel of ${layer.name}: row ${pixel.row}, column ${pixel.column}`);
      say(channels, `Spikes of its ${neurons.length} channels, top to bottom, at steps 0 … ${run.steps - 1}`);
      say(score, `Its SAM at these steps for γ = ${state.gamma.toFixed(2)}, 0 … ${most}`);
      raster.setAttribute("aria-label", `spikes of ${neurons.length} channels over ${run.steps} steps`);
      line.setAttribute("aria-label", `SAM of the pixel over ${run.steps} steps, largest ${most}`);
    },
  };
}
