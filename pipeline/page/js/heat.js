// Which map a card shows: of a run, a layer, a kind and a state.
import { mapOfStep, sumOfMaps } from "./sam.js";
import { cellAt } from "./state.js";
import { isSpatial } from "./words.js";

// What maps there are, in order: name -> { label, live, signed, unit, alone, title }, as pipeline/page/content.py says it.
export const KINDS = {};

// { map, most, shape: [H, W], title }, and of packed ones { signed, of: class }; { late: true } where spikes of this step come too late to change the
// answer; { missing: true } where there is no such map.
export function heatOf(run, loaded, at, kind, state) {
  const layer = run.layers[at];
  const { label, live, signed } = KINDS[kind];
  const shape = layer.shape.slice(1);
  if (!live) {
    const ofClass = loaded.maps[kind]?.[signed && state.target === "other" ? 1 : 0];
    return ofClass?.get(layer.name) ?? { missing: true, shape, title: label };
  }
  const until = Math.min(layer.matter, run.steps);
  const step = stepOf(run, state);
  if (state.view === "step" && step >= layer.matter) return { late: true, shape, title: label };
  const gamma = kind === "sam" ? state.gamma : Number.POSITIVE_INFINITY;
  const key = `${at} ${kind} ${gamma} ${state.view === "sum" ? "sum" : step}`;
  const known = loaded.heats;
  const slot = `${at} ${kind}`;
  if (known.get(slot)?.key !== key) {
    const spikes = loaded.spikes[at];
    const heat = state.view === "sum" ? sumOfMaps(spikes, gamma, until) : mapOfStep(spikes, gamma, step, until);
    known.set(slot, { key, ...heat, shape, title: label });
  }
  return known.get(slot);
}

// The pixel looked at, { at, row, column }, `at` being its layer's position: the one chosen, or else, in the deepest layer with
// maps, that with the most spikes; null where no layer has any.
export function pixelOf(run, loaded, state) {
  const wanted = run.layers.findIndex((layer) => layer.name === state.pixel?.layer && isSpatial(layer));
  const at = wanted >= 0 ? wanted : run.layers.findLastIndex(isSpatial);
  if (at < 0) return null;
  const [, height, width] = run.layers[at].shape;
  if (state.pixel) return { at, row: cellAt(state.pixel.y, height), column: cellAt(state.pixel.x, width) };
  loaded.busiest ??= busiest(loaded.spikes[at]);
  return { at, row: Math.floor(loaded.busiest / width), column: loaded.busiest % width };
}

function busiest(spikes) {
  const { map, most } = sumOfMaps(spikes, Number.POSITIVE_INFINITY, spikes.steps);
  return map.indexOf(most);
}

// The step that a run shows: where two runs are of different lengths, the shorter one stays at its last step.
export function stepOf(run, state) {
  return Math.min(state.step, run.steps - 1);
}
