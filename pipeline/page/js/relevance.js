// Relevance of spikes for a class, from what fired: the rule "signed" of pipeline/maps/relevance.py, in its symbols.
//     c[t] = R[t] / v[t] + λ c[t+1]     R[t-1] += -ρ c[t]          where the neuron fired
//     d[t] = c[t] + κ d[t+1]            R_i[t-1] = d[t] g w_i x_i[t-1]
import {
  advance,
  arrive,
  atRest,
  eachCell,
  eachSynapse,
  pairsOf,
  rowAt,
  tokensOf,
  UNIT,
  waits,
  winnersOf,
} from "./simulate.js";
import { inModel, inNetwork } from "./whatif.js";

// The relevance of each layer of a sample, see tasks.js, for a class, as heats of heat.js.
export function explainedLayers(run, network, sample, which) {
  const { spikes } = sample;
  const fired = network.shapes.map((_, place) => {
    const at = place - network.first;
    return spikes[at] && inNetwork(spikes[at], run.layers[at], network.timesteps);
  });
  sample.relevance ??= makeRelevance(network, fired);
  const found = sample.relevance(which);
  return run.layers.map((layer, at) => {
    const { band, shape } = layer;
    const { neurons, pixels, steps } = spikes[at];
    const map = new Float64Array(band ? neurons * steps : pixels);
    const ofSteps = inModel(found[at + network.first], layer, steps);
    const moments = inModel(fired[at + network.first], layer, steps).map((firing, step) => {
      const now = new Float64Array(pixels); // of a band, all neurons
      firing.forEach((neuron, k) => {
        const value = ofSteps[step][k];
        now[neuron % pixels] += value;
        map[band ? neuron * steps + step : neuron % pixels] += value;
      });
      return now.reduce((sum, value) => sum + Math.max(0, value), 0);
    });
    const most = map.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    return { map, most, moments, shape: band ? [neurons, steps] : shape.slice(1), signed: true };
  });
}

// fired: place -> step -> neurons, undefined of an input that is no spikes. Place -> step -> the relevance of each of them, for
// each class; membranes are computed once.
function makeRelevance(network, fired) {
  const states = statesOf(network, fired);
  return (target) => {
    const { readout, classes, timesteps } = network;
    const found = fired.map((steps) => steps?.map((neurons) => new Float64Array(neurons.length)));
    const last = fired.length - 1;
    found[last].forEach((relevance, step) => {
      const counted = (readout.kept / UNIT) ** (timesteps - 1 - step) * readout.scale;
      fired[last][step].forEach((neuron, k) => {
        relevance[k] = readout.weights[neuron * classes + target] * counted;
      });
    });
    const layers = states.map((state) => {
      const [perMembrane, perCurrent, own] = [0, 1, 2].map(() => new Float64Array(state.membrane.length));
      return { state, perMembrane, perCurrent, own };
    });
    for (let step = timesteps - 1; step > 0; step--) {
      for (const layer of layers) passBack(layer, fired, found, step); // what reads it is at a later step, so is complete
    }
    return found;
  };
}

// The layers whose currents are known, with the membranes of what fired, in real numbers: `held`, of each spike; and where
// neurons have a lowest one, `free`, who is above it.
function statesOf(network, fired) {
  const states = network.layers
    .map((layer, number) => ({ ...atRest(layer, network.shapes, number + 1, true), place: number + 1 }))
    .filter(({ inputs }) => inputs.every(({ sources }) => sources.every(([place]) => fired[place])));
  for (const state of states) {
    const { channels, layer, membrane, before } = state;
    state.indices = fired[state.place].map((neurons) => neurons.map((neuron) => indexOf(state, neuron)));
    [state.held, state.free] = [[], []];
    for (let step = 1; step < network.timesteps; step++) {
      advance(state, fired, step);
      before.fill(0);
      for (const at of state.indices[step]) before[at] = 1;
      state.held[step] = state.indices[step].map((at) => membrane[at]);
      if (layer.lowest) state.free[step] = Uint8Array.from(membrane, (v, at) => v > layer.lowest[at % channels]);
    }
  }
  return states;
}

// Where a neuron is among those of its layer, channels last.
function indexOf({ channels, pixels }, neuron) {
  return (neuron % pixels) * channels + Math.floor(neuron / pixels);
}

// Adds to the relevance of the spikes that drove a step, from that of the spikes that it fired.
function passBack({ state, perMembrane, perCurrent, own }, fired, found, step) {
  const { layer, place, channels, pixels, inputs, indices } = state;
  const { kept, keptCurrent, toZero, subtracted } = layer;
  const [held, free] = [state.held[step], state.free[step]];
  for (let at = 0; at < perMembrane.length; at++) perMembrane[at] *= kept[at % channels] / UNIT;
  indices[step].forEach((at, k) => {
    const share = held[k] > 0 ? (found[place][step][k] + own[at]) / held[k] : 0;
    perMembrane[at] = share + (toZero ? 0 : perMembrane[at]);
  });
  if (free) for (let at = 0; at < free.length; at++) perMembrane[at] *= free[at];
  own.fill(0);
  if (!toZero) for (const at of indices[step - 1]) own[at] = -subtracted[at % channels] * perMembrane[at];
  for (let at = 0; at < perCurrent.length; at++) {
    perCurrent[at] = perMembrane[at] + (keptCurrent[at % channels] / UNIT) * perCurrent[at];
  }
  for (const input of inputs) {
    const gain = rowAt(input.scaled, step, channels);
    const handed = perCurrent.map((value, at) => value * gain[at % channels]);
    if (input.heads) passAttention(input, fired, found, step, { channels, pixels, handed });
    else passSynapses(input, fired, found, step, channels, toWinners(input, fired, step, channels, handed));
  }
}

// To each spike that arrived, what it reaches; those of one maximum share it.
function passSynapses(input, fired, found, step, channels, values) {
  for (const [place, delay, sign, late] of input.sources) {
    if (step < delay) continue;
    const [together, each] = [0, 1].map(() => new Float64Array(input.arrived.length)); // by cell
    for (const neuron of fired[place][step - delay]) eachCell(input, neuron, (cell) => together[cell]++);
    fired[place][step - delay].forEach((neuron, k) => {
      if (!waits(input, late, neuron)) return;
      eachCell(input, neuron, (cell) => {
        each[cell] ||= weighed(input, cell, channels, values) / (input.largest ? together[cell] : 1);
        found[place][step - delay][k] += sign * each[cell];
      });
    });
  }
}

function weighed(input, cell, channels, values) {
  const { weights, pooled } = input;
  const pixels = pooled[0] * pooled[1];
  if (weights === null) return values[(cell % pixels) * channels + Math.floor(cell / pixels)];
  let sum = 0;
  eachSynapse(input, cell, channels, (to, from) => {
    let part = 0; // of the closure's own, which is many times as fast
    for (let channel = 0; channel < channels; channel++) part += values[to + channel] * weights[from + channel];
    sum += part;
  });
  return sum;
}

// What the currents get of what their pools get: the largest all, or the first of several; a sum hands all to each.
function toWinners(input, fired, step, channels, handed) {
  if (input.windows === null && !input.summed) return handed;
  const values = new Float64Array(input.current.length);
  const winners = input.windows && winnersOf(input, arrive(input, fired, step, channels), channels);
  const count = (winners ?? values).length;
  for (let at = 0; at < count; at++) values[winners ? winners[at] : at] += handed[input.summed ? at % channels : at];
  return values;
}

// A product of three spikes gives each a third.
function passAttention(input, fired, found, step, { channels, pixels, handed }) {
  const { sources, heads } = input;
  const size = channels / heads;
  const [q, k, v] = tokensOf(input, fired, step, channels, pixels);
  const pairs = pairsOf(k, v, channels, size);
  const asked = new Float64Array(channels * size); // [c, e]: what the tokens get at which c of q fires
  const reached = (token, c) =>
    handed.subarray(token * channels + c - (c % size), token * channels + c - (c % size) + size);
  const alike = (c, e) => Math.floor(c / size) === Math.floor(e / size);
  q.forEach((firing, token) => {
    for (const c of firing)
      reached(token, c).forEach((value, e) => {
        asked[c * size + e] += value;
      });
  });
  const shares = [
    (token, c) => reached(token, c).reduce((sum, value, e) => sum + pairs[c * size + e] * value, 0),
    (token, c) => v[token].reduce((sum, e) => sum + (alike(c, e) ? asked[c * size + (e % size)] : 0), 0),
    (token, e) => k[token].reduce((sum, c) => sum + (alike(c, e) ? asked[c * size + (e % size)] : 0), 0),
  ];
  sources.forEach(([place, delay], which) => {
    if (step < delay) return;
    fired[place][step - delay].forEach((neuron, at) => {
      const channel = Math.floor(neuron / pixels);
      const part = sources.length === 1 ? Math.floor(channel / channels) : which;
      found[place][step - delay][at] += shares[part](neuron % pixels, channel % channels) / 3;
    });
  });
}
