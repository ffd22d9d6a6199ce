// Which map a card shows: of a run, a layer, a kind and a state.
import { attendedTo } from "./attention.js";
import { bandOf, mapOfStep, momentsOf, sumOfMaps } from "./sam.js";
import { cellAt } from "./state.js";

// What maps there are, in order: name -> { label, says, live, signed, unit }, as pipeline/page/_content.py says it.
export const KINDS = {};

// { map, most, shape: [H, W] }, and of what has signs { signed }; { late: true } where spikes of this step come too
// late to change the answer; { waiting: true } of what is still computed; { missing: true } where there is no such map.
export function heatOf(run, loaded, at, kind, state) {
  const layer = run.layers[at];
  const shape = layer.shape.slice(1);
  const pair = kind === "attention" ? run.attention.find(({ key }) => key === at) : null;
  if (pair === undefined) return { missing: true, shape };
  if (layer.band) return pair ? { missing: true, shape } : bandHeat(run, loaded, at, kind, state);
  if (!KINDS[kind].live) return stillHeat(run, loaded, at, kind, state) ?? { missing: true, shape };
  const until = Math.min(layer.matter, run.steps);
  const step = state.view === "sum" ? null : stepOf(run, state);
  if (step !== null && step >= layer.matter) return { late: true, shape };
  const gamma = kind === "sam" ? state.gamma : Number.POSITIVE_INFINITY;
  const token = pair && placeOf(state) ? cellOf(state.pixel, shape).cell : null;
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

// The band of a layer without places, as above: [neurons, steps], in order or the most active first.
function bandHeat(run, loaded, at, kind, state) {
  const { gamma, order } = state;
  const { matter } = run.layers[at];
  const { live } = KINDS[kind];
  const spikes = loaded.spikes[at];
  const shape = [spikes.neurons, spikes.steps];
  const still = live ? null : stillHeat(run, loaded, at, kind, state);
  if (still?.waiting) return still;
  if (!live && still?.shape[1] !== spikes.steps) return { missing: true, shape };
  const key = `${kind === "sam" ? gamma : ""} ${order} ${classOf(loaded.sample, state)}`;
  const slot = `${at} ${kind}`;
  if (loaded.heats.get(slot)?.key !== key) {
    const until = Math.min(matter, run.steps);
    const found = still ?? bandOf(spikes, kind === "sam" ? gamma : Number.POSITIVE_INFINITY, until);
    loaded.heats.set(slot, { ...found, key, shape, ...(order === "activity" && mostActiveFirst(found.map, spikes)) });
  }
  return loaded.heats.get(slot);
}

// What the map of a layer sums to at each step; null where it is known of all steps together alone.
export function momentsOfHeat(run, loaded, at, kind, state) {
  const layer = run.layers[at];
  const { live } = KINDS[kind];
  if (kind === "attention") return null;
  if (!live) return stillHeat(run, loaded, at, kind, state)?.moments ?? null;
  const gamma = kind === "sam" ? state.gamma : Number.POSITIVE_INFINITY;
  const slot = `moments of ${at} ${kind}`;
  if (loaded.heats.get(slot)?.gamma !== gamma) {
    const until = Math.min(layer.matter, run.steps);
    loaded.heats.set(slot, { gamma, moments: momentsOf(loaded.spikes[at], gamma, until) });
  }
  return loaded.heats.get(slot).moments;
}

// What each row of a band sums to, of what speaks for the class where it has signs.
export function rowsOf({ map, shape: [rows, steps] }) {
  const sums = new Float64Array(rows);
  for (let at = 0; at < map.length; at++) sums[Math.floor(at / steps)] += Math.max(0, map[at]);
  return sums;
}

// A map that no step changes, such as the page holds, or had computed of relevance; undefined where there is none.
function stillHeat(run, loaded, at, kind, state) {
  const which = KINDS[kind].classes ? classOf(loaded.sample, state) : null;
  if (!KINDS[kind].classes || !run.explains) return loaded.maps[kind]?.get(which)?.get(run.layers[at].name);
  if (which === null) return undefined;
  const known = loaded.relevance?.which === which ? loaded.relevance.job.value : null;
  return known?.[at] ?? { waiting: true, shape: run.layers[at].shape.slice(1) };
}

// The number of the class that relevance is for; null where there is no answer to explain.
export function classOf({ classes }, { target }) {
  if (classes.length === 0) return null;
  const which = { answer: classes[0], other: classes[1] }[target] ?? target;
  return classes.includes(which) ? which : classes[0];
}

// The rows of a band, those of the neurons with most spikes first: { map, ranked }, ranked being row -> neuron.
function mostActiveFirst(map, { neurons, steps, neuron }) {
  const counts = new Uint32Array(neurons);
  for (const which of neuron) counts[which]++;
  const ranked = Array.from(counts.keys()).sort((one, other) => counts[other] - counts[one]);
  const sorted = new Float64Array(map.length);
  for (const [row, which] of ranked.entries()) {
    sorted.set(map.subarray(which * steps, (which + 1) * steps), row * steps);
  }
  return { map: sorted, ranked };
}

// The chosen place, if it is one of maps; that of a band is a neuron.
export function placeOf({ pixel }) {
  return pixel?.band ? null : pixel;
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
