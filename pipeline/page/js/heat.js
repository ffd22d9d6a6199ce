// Which map a card shows: of a run, a layer, a kind and a state.
import { attendedTo } from "./attention.js";
import { mapOfStep, sumOfMaps } from "./sam.js";
import { cellAt } from "./state.js";
import { isSpatial } from "./words.js";

// What maps there are, in order: name -> { label, says, live, signed, unit }, as pipeline/page/content.py says it.
export const KINDS = {};

// { map, most, shape: [H, W] }, and of packed ones { signed, of: class }; { late: true } where spikes of this step come too
// late to change the answer; { missing: true } where there is no such map.
export function heatOf(run, loaded, at, kind, state) {
  const layer = run.layers[at];
  const { live, signed } = KINDS[kind];
  const shape = layer.shape.slice(1);
  const pair = kind === "attention" ? run.attention.find(({ key }) => key === at) : null;
  if (pair === undefined || !isSpatial(layer)) return { missing: true, shape };
  if (!live) return loaded.maps[kind]?.[signed ? state.target : 0]?.get(layer.name) ?? { missing: true, shape };
  const until = Math.min(layer.matter, run.steps);
  const step = state.view === "sum" ? null : stepOf(run, state);
  if (step !== null && step >= layer.matter) return { late: true, shape };
  const gamma = kind === "sam" ? state.gamma : Number.POSITIVE_INFINITY;
  const token = pair && state.pixel ? cellOf(state.pixel, shape).cell : null;
  const key = `${gamma} ${step} ${token}`;
  const slot = `${at} ${kind}`;
  if (loaded.heats.get(slot)?.key !== key) {
    const spikes = loaded.spikes[at];
    const heat = pair
      ? attendedTo(loaded.spikes, pair, { token, step, until })
      : step === null
        ? sumOfMaps(spikes, gamma, until)
        : mapOfStep(spikes, gamma, step, until);
    loaded.heats.set(slot, { key, ...heat, shape });
  }
  return loaded.heats.get(slot);
}

// The cell of a map of shape [H, W] in which a place lies.
export function cellOf({ x, y }, [height, width]) {
  const [row, column] = [cellAt(y, height), cellAt(x, width)];
  return { row, column, cell: row * width + column };
}

// The step that a run shows: where two runs are of different lengths, the shorter one stays at its last step.
export function stepOf(run, state) {
  return Math.min(state.step, run.steps - 1);
}
