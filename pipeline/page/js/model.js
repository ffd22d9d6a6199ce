// The data of the page: what is known of all runs together, and the samples, unpacked when they are first shown.
import { KINDS } from "./heat.js";
import { inflate } from "./inflate.js";
import { decodeSpikes } from "./spikes.js";

const KEPT = 4; // unpacked samples; of 500 steps one takes tens of megabytes

// The data of the page. Layers may be called "toString" or "__proto__": no object has anything but its own fields.
export function dataOf(text) {
  const data = JSON.parse(text, (_, value) =>
    value === null || typeof value !== "object" || Array.isArray(value) ? value : Object.setPrototypeOf(value, null),
  );
  Object.assign(KINDS, data.kinds);
  return data;
}

// What the controls need to know of the runs.
export function aboutRuns(runs) {
  const samples = runs.flatMap((run) => run.samples);
  return {
    samples: runs[0].samples.length,
    wrong: runs[0].samples.map((_, position) => runs.some((run) => isWrong(runs, run, position))),
    steps: Math.max(...runs.map((run) => run.steps)),
    busiest: livelyStep(runs[0]),
    events: runs[0].events,
    gamma: runs[0].gamma,
    kinds: Object.keys(KINDS).filter((kind) => runs.some((run) => has(run, kind))),
    hasPicture: samples.some((sample) => sample.picture),
    hasInput: runs.some((run) => inputOf(run) >= 0),
    hasBox: samples.some((sample) => sample.box),
    hasMask: samples.some((sample) => sample.mask),
    hasBand: runs.some((run) => run.layers.some((layer) => layer.band)),
    hasMap: runs.some((run) => run.layers.some((layer) => !layer.band)),
  };
}

// A step that matters in every layer, at which layers fire often, each beside its own mean.
function livelyStep(run) {
  const matter = Math.min(run.steps, ...run.layers.map((layer) => layer.matter));
  const activity = Array.from({ length: Math.max(1, matter) }, (_, step) =>
    run.layers.reduce((sum, layer) => sum + (layer.rate > 0 ? layer.rates[step] / layer.rate : 0), 0),
  );
  return activity.indexOf(Math.max(...activity));
}

function has(run, kind) {
  if (kind === "attention") return run.attention.length > 0;
  if (KINDS[kind].live || (KINDS[kind].classes && run.explains)) return true;
  return run.samples.some((sample) => sample.maps[kind]?.length > 0);
}

// Position of the layer that is the encoded input; -1 where there is none.
export function inputOf(run) {
  return run.layers.findIndex((layer) => layer.kind === "input" && !layer.band);
}

// The sample of `run` that belongs to a sample of the first run: that of its number in the data set, or of its place.
export function partner(runs, run, position) {
  const wanted = runs[0].samples[position];
  const same =
    run.dataset === runs[0].dataset ? run.samples.findIndex((sample) => sample.index === wanted.index) : position;
  return run.samples[same] ? same : null;
}

function isWrong(runs, run, position) {
  const at = partner(runs, run, position);
  return at !== null && run.samples[at].right === false;
}

let numbers = 0; // of samples, as they were unpacked or edited

// A sample in which what fires differs, as whatif.js says it; or the sample itself with `refused`.
export function editedSample(run, loaded, found) {
  if (found.refused) return { ...loaded, refused: true };
  const { trains, ...whatIf } = found;
  const spikes = loaded.spikes.map((known, at) =>
    trains[at] ? decodeSpikes(trains[at], known.shape, run.steps) : known,
  );
  const unknown = { heats: new Map(), input: null, events: null, edited: null, relevance: null };
  return { ...loaded, ...unknown, number: numbers++, spikes, recorded: loaded, whatIf };
}

export function sampleLoader(run) {
  const loaded = new Map();
  return (position) => {
    if (!loaded.has(position)) {
      if (loaded.size >= KEPT) loaded.delete(loaded.keys().next().value);
      loaded.set(position, unpack(run, run.samples[position]));
    }
    return loaded.get(position);
  };
}

async function unpack(run, sample) {
  const spikes = run.layers.map(async (layer, at) =>
    decodeSpikes(await inflate(sample.spikes[at]), layer.shape, run.steps),
  );
  const maps = Object.entries(sample.maps).map(async ([kind, found]) => [
    kind,
    new Map(await Promise.all(found.map(async (each) => [each.of ?? null, await mapsOf(kind, each.layers)]))),
  ]);
  return {
    sample,
    number: numbers++, // as those who compute know it
    heats: new Map(), // maps as they were last computed, see heat.js
    relevance: null, // { which, job }: for one class, see main.js
    edited: null, // { silenced, job }: without some spikes, see main.js
    spikes: await Promise.all(spikes),
    maps: Object.fromEntries(await Promise.all(maps)), // kind -> class, or null: layer -> map
    picture: sample.picture && { shape: sample.picture.shape, pixels: await inflate(sample.picture.pixels) },
    mask: sample.mask && { shape: sample.mask.shape, pixels: await inflate(sample.mask.pixels) },
  };
}

// Layer -> map, of levels from 0 to 255; with signs 128 is 0.
async function mapsOf(kind, layers) {
  const { signed } = KINDS[kind];
  const value = signed ? (level, most) => ((level - 128) * most) / 127 : (level, most) => (level * most) / 255;
  const maps = Object.entries(layers).map(async ([layer, { shape, most, levels, moments }]) => {
    const map = Float64Array.from(await inflate(levels), (level) => value(level, most));
    return [layer, { map, most, shape, signed, moments }];
  });
  return new Map(await Promise.all(maps));
}
