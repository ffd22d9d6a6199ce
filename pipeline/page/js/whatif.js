// What if some spikes were silent? A sample as it would be then: its spikes from the silenced layer on, and its scores.
import { inflate } from "./inflate.js";
import { placesBehind, scoresOf, simulateFrom, sumsOf } from "./simulate.js";
import { decodeSpikes, encodeSpikes, spikesOfSteps } from "./spikes.js";

const SAME = 1e-3; // scores that differ by less; a share is rounded to five digits

// An unpacked sample, after what is silenced, see state.js: the sample then, with `whatIf`; or `refused`, where a network in
// float32 does not fire here what was recorded. It is the sample itself where nothing is silenced, or this run has no such layer.
export function silencedSample(run, loaded, silenced) {
  const at = loaded.network ? run.layers.findIndex((layer) => layer.name === silenced?.layer) : -1;
  if (at < 0) return loaded;
  if (loaded.edited?.silenced !== silenced) {
    loaded.edited = { silenced, sample: simulated(run, loaded.network, loaded, at, silenced) };
  }
  return loaded.edited.sample;
}

function simulated(run, network, loaded, at, { cells, channels }) {
  const [first, place] = [network.first, at + network.first];
  const before = loaded.spikes.map(spikesOfSteps);
  const pixels = loaded.spikes[at].pixels;
  const [places, planes] = [new Set(cells), new Set(channels)];
  const stays = (neuron) => !places.has(neuron % pixels) && !planes.has(Math.floor(neuron / pixels));
  const behind = placesBehind(network, place);
  const from = (given) => {
    const fired = network.shapes.map((_, which) => (behind.has(which) ? undefined : (before[which - first] ?? [])));
    fired[place] = given;
    return { fired, close: simulateFrom(network, fired) };
  };
  if (network.real) {
    loaded.reproduced ??= new Map(); // place -> whether what is behind it comes out as it was recorded
    if (!loaded.reproduced.has(place)) {
      loaded.reproduced.set(place, isRecorded(run, network, from(before[at]).fired, loaded));
    }
    if (!loaded.reproduced.get(place)) return { ...loaded, refused: true };
  }
  const { fired, close } = from(before[at].map((neurons) => neurons.filter(stays)));
  const sums = sumsOf(network, fired.at(-1));
  const spikes = loaded.spikes.map((known, which) => {
    const changed = which === at || behind.has(which + first);
    return changed ? decodeSpikes(encodeSpikes(fired[which + first], known), known.shape, run.steps) : known;
  });
  return {
    ...loaded,
    spikes,
    heats: new Map(),
    input: null,
    events: null,
    edited: null,
    relevance: null,
    recorded: loaded,
    whatIf: { sums, close, scores: scoresOf(network, sums, run.answers) },
  };
}

// Whether spikes and scores are those of the sample.
function isRecorded(run, network, fired, { spikes, sample }) {
  const scores = scoresOf(network, sumsOf(network, fired.at(-1)), run.answers);
  return (
    scores.every((score, which) => Math.abs(score - sample.scores[which]) < SAME) &&
    spikes.every((known, at) =>
      encodeSpikes(fired[at + network.first], known).every((byte, which) => byte === known.trains[which]),
    )
  );
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
