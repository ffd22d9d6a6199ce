// What if some spikes were silent? The spikes of a sample from the silenced layer on, and its scores.
import { inflate } from "./inflate.js";
import { placesBehind, scoresOf, simulateFrom, sumsOf } from "./simulate.js";
import { encodeSpikes, spikesOfSteps } from "./spikes.js";

// What a layer fires at each step of the network, and back: its first step is there at `start`, by the delays in front of it.
export function inNetwork(spikes, { start }, timesteps) {
  const steps = spikesOfSteps(spikes);
  return Array.from({ length: timesteps }, (_, step) => steps[step - start] ?? []);
}

export function inModel(fired, { start }, steps) {
  return fired.slice(start, start + steps);
}

const SAME = 1e-3; // scores that differ by less; a share is rounded to five digits

// What a sample would be, see tasks.js, without the spikes that are silenced, see state.js: the trains of the layers that change,
// by position, else null, with sums and scores of the readout; or `refused`, where a network in float32 does not fire here what
// was recorded.
export function spikesWithout(run, network, sample, { layer, cells, channels }) {
  const at = run.layers.findIndex(({ name }) => name === layer);
  const [first, place] = [network.first, at + network.first];
  const before = sample.spikes.map((spikes, which) => inNetwork(spikes, run.layers[which], network.timesteps));
  const pixels = sample.spikes[at].pixels;
  const [places, planes] = [new Set(cells), new Set(channels)];
  const stays = (neuron) => !places.has(neuron % pixels) && !planes.has(Math.floor(neuron / pixels));
  const behind = placesBehind(network, place);
  const from = (given) => {
    const fired = network.shapes.map((_, which) => (behind.has(which) ? undefined : (before[which - first] ?? [])));
    fired[place] = given;
    return { fired, close: simulateFrom(network, fired) };
  };
  if (network.real) {
    if (!sample.reproduced.has(place)) {
      sample.reproduced.set(place, isRecorded(run, network, from(before[at]).fired, sample));
    }
    if (!sample.reproduced.get(place)) return { refused: true };
  }
  const { fired, close } = from(before[at].map((neurons) => neurons.filter(stays)));
  const sums = sumsOf(network, fired.at(-1));
  const trains = sample.spikes.map((known, which) =>
    which === at || behind.has(which + first) ? trainsOf(run, fired[which + first], which, known) : null,
  );
  return { trains, sums, close, scores: scoresOf(network, sums, run.answers) };
}

// Whether spikes and scores are those of the sample.
function isRecorded(run, network, fired, { spikes, scores: recorded }) {
  const scores = scoresOf(network, sumsOf(network, fired.at(-1)), run.answers);
  return (
    scores.every((score, which) => Math.abs(score - recorded[which]) < SAME) &&
    spikes.every((known, at) =>
      trainsOf(run, fired[at + network.first], at, known).every((byte, which) => byte === known.trains[which]),
    )
  );
}

function trainsOf(run, fired, at, known) {
  return encodeSpikes(inModel(fired, run.layers[at], run.steps), known);
}

// The numbers of integers.py, as simulate.js takes them.
export async function unpackNetwork(integers) {
  const [Weights, Numbers] = integers.real ? [Float32Array, Float64Array] : [Int8Array, Int32Array];
  const numbersOf = async (blob) => new Numbers((await inflate(blob)).buffer);
  const layers = integers.layers.map(async (layer) => ({
    ...layer,
    bias: await numbersOf(layer.bias),
    inputs: await Promise.all(
      layer.inputs.map(async (input) => ({
        ...input,
        weights: input.weights && new Weights((await inflate(input.weights)).buffer),
        gain: await numbersOf(input.gain),
      })),
    ),
  }));
  const { readout } = integers;
  const weights = new Weights((await inflate(readout.weights)).buffer);
  return {
    ...integers,
    layers: await Promise.all(layers),
    readout: { ...readout, weights, bias: await numbersOf(readout.bias) },
  };
}
