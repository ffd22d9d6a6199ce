// What if some spikes were silent? A sample as it would be then: its spikes from the silenced layer on, and its scores.
import { inflate } from "./inflate.js";
import { placesBehind, scoresOf, simulateFrom, sumsOf } from "./simulate.js";
import { decodeSpikes, encodeSpikes, spikesOfSteps } from "./spikes.js";

// Returns an async function of an unpacked sample and what is silenced, see state.js: the sample then, with `whatIf`. It is
// the sample itself where nothing is silenced, or this run has no such layer.
export function makeWhatIf(run) {
  let unpacked = null;
  return async (loaded, silenced) => {
    const at = run.integers ? run.layers.findIndex((layer) => layer.name === silenced?.layer) : -1;
    if (at < 0) return loaded;
    if (loaded.edited?.silenced === silenced) return loaded.edited.sample;
    unpacked ??= unpackIntegers(run.integers);
    const sample = silencedSample(run, await unpacked, loaded, at, silenced);
    loaded.edited = { silenced, sample };
    return sample;
  };
}

function silencedSample(run, network, loaded, at, { cells, channels }) {
  const [first, place] = [network.first, at + network.first];
  const before = loaded.spikes.map(spikesOfSteps);
  const pixels = loaded.spikes[at].pixels;
  const [places, planes] = [new Set(cells), new Set(channels)];
  const stays = (neuron) => !places.has(neuron % pixels) && !planes.has(Math.floor(neuron / pixels));
  const behind = placesBehind(network, place);
  const fired = network.shapes.map((_, which) => (behind.has(which) ? undefined : (before[which - first] ?? [])));
  fired[place] = before[at].map((neurons) => neurons.filter(stays));
  simulateFrom(network, fired);
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
    recorded: loaded,
    whatIf: { sums, scores: scoresOf(network, sums, run.answers) },
  };
}

async function unpackIntegers(integers) {
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
