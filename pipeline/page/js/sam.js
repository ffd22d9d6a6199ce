// Spike Activation Map (Kim & Panda 2021, Eq. 12-14), as pipeline/maps/sam.py computes it: a neuron that fires, gap steps
// after it last did, has the score N = exp(-gamma * gap) * N + 1, and its pixel the sum over the channels that fire.
// With gamma = Infinity, every spike counts 1: the number of spikes.
import { fires } from "./spikes.js";

// Sum of the maps of the first `until` steps: { map: Float64Array(pixels), most }.
export function sumOfMaps(spikes, gamma, until) {
  const map = new Float64Array(spikes.pixels);
  const most = walk(spikes, gamma, until, map, () => {});
  return { map, most };
}

// The map of one step before `until`; `most` is the largest value of all those steps, which so share one scale.
export function mapOfStep(spikes, gamma, step, until) {
  const now = new Float64Array(spikes.pixels);
  let map = now;
  const most = walk(spikes, gamma, until, now, (reached) => {
    if (reached === step) map = now.slice();
    now.fill(0);
  });
  return { map, most };
}

// The score of every spike of the first `until` steps, a row of all steps for each neuron: { map, most }.
export function bandOf(spikes, gamma, until) {
  const { first, neuron, neurons, steps } = spikes;
  const now = new Float64Array(neurons);
  const map = new Float64Array(neurons * steps);
  const most = walk({ ...spikes, pixel: neuron }, gamma, until, now, (step) => {
    for (let k = first[step]; k < first[step + 1]; k++) {
      map[neuron[k] * steps + step] = now[neuron[k]];
      now[neuron[k]] = 0;
    }
  });
  return { map, most };
}

// The scores of all spikes of each of the first `until` steps, summed.
export function momentsOf(spikes, gamma, until) {
  const now = new Float64Array(1);
  const sums = new Float64Array(spikes.steps);
  walk({ ...spikes, pixel: new Uint8Array(spikes.neuron.length) }, gamma, until, now, (step) => {
    sums[step] = now[0];
    now[0] = 0;
  });
  return sums;
}

// The score of one pixel at every step.
export function scoreOverTime(spikes, gamma, pixel) {
  const scores = new Float64Array(spikes.steps);
  const decay = Math.exp(-gamma);
  for (let neuron = pixel; neuron < spikes.neurons; neuron += spikes.pixels) {
    for (let step = 0, score = 0; step < spikes.steps; step++) {
      const fired = fires(spikes, neuron, step);
      score = score * decay + fired;
      if (fired) scores[step] += score;
    }
  }
  return scores;
}

// Adds the scores of all spikes to their pixels; returns the largest value that a pixel reached.
function walk(spikes, gamma, until, map, afterStep) {
  const { first, neuron, pixel, gap } = spikes;
  const score = new Float64Array(spikes.neurons);
  const decays = Float64Array.from({ length: spikes.steps + 1 }, (_, steps) => (steps ? Math.exp(-gamma * steps) : 0));
  let most = 0;
  for (let step = 0; step < until; step++) {
    for (let k = first[step]; k < first[step + 1]; k++) {
      const which = neuron[k];
      const value = score[which] * decays[gap[k]] + 1;
      score[which] = value;
      const sum = map[pixel[k]] + value;
      map[pixel[k]] = sum;
      if (sum > most) most = sum;
    }
    afterStep(step);
  }
  return most;
}

export function largest(map) {
  let most = 0;
  for (let at = 0; at < map.length; at++) if (map[at] > most) most = map[at];
  return most;
}
