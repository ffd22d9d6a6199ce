// What stands behind the maps, and beside the answer: the picture, the input's spikes, or the events of a step.
import { classOf, heatOf, KINDS, stepOf } from "./heat.js";
import { inputOf } from "./model.js";
import { eventsCanvas, pictureCanvas, spikesCanvas } from "./paint.js";
import { largest } from "./sam.js";
import { spikesPerStep } from "./spikes.js";
import { percent } from "./words.js";

// A canvas, or null.
export function backOf(run, loaded, state) {
  const input = inputOf(run);
  const events = eventsOf(run, loaded, state);
  if (state.behind === "picture" && events) return events;
  if (state.behind === "picture" && loaded.picture) return run.events ? colouredOf(loaded) : dimmedOf(loaded);
  if (state.behind === "nothing" || input < 0) return null;
  const heat = heatOf(run, loaded, input, "count", state);
  if (heat.late) return null;
  if (loaded.input?.heat !== heat) loaded.input = { heat, canvas: spikesCanvas(heat.map, heat.most, heat.shape) };
  return loaded.input.canvas;
}

// The events of the step that is shown, as a canvas; null of the sum, whose picture is at hand.
export function eventsOf(run, loaded, state) {
  if (!run.events || state.view === "sum" || inputOf(run) < 0) return null;
  const step = stepOf(run, state);
  if (loaded.events?.step !== step) loaded.events = { step, canvas: eventsCanvas(loaded.spikes[inputOf(run)], step) };
  return loaded.events.canvas;
}

// The recorded relevance of an input of numbers, which is no layer; null of other maps, and where there is none.
export function pixelsOf(run, loaded, state) {
  if (!KINDS[state.kind].classes || run.layers.some(({ name }) => name === "input")) return null;
  return loaded.maps[state.kind]?.get(classOf(loaded.sample, state))?.get("input") ?? null;
}

export function dimmedOf(loaded) {
  loaded.dimmed ??= loaded.picture && pictureCanvas(loaded.picture, true);
  return loaded.dimmed;
}

export function colouredOf(loaded) {
  loaded.coloured ??= loaded.picture && pictureCanvas(loaded.picture, false);
  return loaded.coloured;
}

// Says so where more than half of the events lie in one step: then there is little else to see.
export function crowdedOf(run, loaded) {
  if (!run.events || inputOf(run) < 0) return "";
  const counts = spikesPerStep(loaded.spikes[inputOf(run)]);
  const share = largest(counts) / counts.reduce((sum, count) => sum + count, 0);
  return share > 0.5 ? `${percent(share)} of its events lie in step ${counts.indexOf(largest(counts))}` : "";
}
