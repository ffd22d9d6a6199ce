// What the layers behind silenced spikes fire then: the equations of backends/network/inputs.py and neurons.py in integers.
// Every number stays below 2^53, so products are exact, and the bits are those of every backend. A network that is `real` has
// the numbers of float32, and is added up in 64 bits: so near to a threshold rounding in 32 may decide otherwise.

const MEMBRANE_MOST = 2 ** 23 - 1; // membranes and currents that last saturate here
export const UNIT = 4096; // leaks are multiples of its inverse
const ROUNDING = 1e-5; // of a threshold, as in backends/network/step.py

// network: numbers of integers.py, unpacked; fired: place -> step -> the neurons that fire, in the order of (C, H, W);
// undefined where a place is to be simulated, which fills it. A place is 0 for the input, 1 for the first layer. Returns whether
// a membrane came so close to its threshold that float32 may decide otherwise.
export function simulateFrom(network, fired) {
  const { timesteps, shapes, layers, real } = network;
  const again = layers
    .map((layer, number) => ({ layer, place: number + 1 }))
    .filter(({ place }) => fired[place] === undefined)
    .map(({ layer, place }) => {
      fired[place] = Array.from({ length: timesteps }, () => []);
      return { place, state: atRest(layer, shapes, place, real) };
    });
  for (let step = 1; step < timesteps; step++) {
    for (const { place, state } of again) fired[place][step] = advance(state, fired, step);
  }
  return again.some(({ state }) => state.close);
}

// The sums of the readout, from the neurons of the last layer that fire at every step.
export function sumsOf({ readout, classes: count, real }, fired) {
  const { weights, kept, bias } = readout;
  const whole = wholeOf(real);
  const sums = new Float64Array(count);
  fired.forEach((neurons, step) => {
    const row = step % (bias.length / count);
    for (let at = 0; at < count; at++) sums[at] = whole((sums[at] * kept) / UNIT) + bias[row * count + at];
    for (const neuron of neurons) {
      for (let at = 0; at < count; at++) sums[at] += weights[neuron * count + at];
    }
  });
  return sums;
}

// What the sums say of each class: how many spikes, or its share, the softmax of the logits; or the numbers themselves.
export function scoresOf(network, sums, { unit, factor }) {
  if (unit === "spikes") return Array.from(sums, (sum) => Math.round(sum * factor));
  const logits = Array.from(sums, (sum) => sum * network.readout.scale);
  if (unit === "value") return logits.map((logit) => logit * network.timesteps);
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

// The places that a way leads to from one of them, itself left out: its spikes are given.
export function placesBehind(network, place) {
  const found = new Set();
  const waiting = [place];
  while (waiting.length > 0) {
    const before = waiting.pop();
    network.layers.forEach(({ inputs }, number) => {
      const reads = inputs.some(({ sources }) => sources.some(([source]) => source === before));
      if (!reads || found.has(number + 1) || number + 1 === place) return;
      found.add(number + 1);
      waiting.push(number + 1);
    });
  }
  return found;
}

// Memory of one layer; maps are channels last.
export function atRest(layer, shapes, place, real) {
  const [channels, height, width] = shapes[place];
  const neurons = channels * height * width;
  return {
    layer,
    channels,
    pixels: height * width,
    rounding: real ? ROUNDING : 0,
    close: false,
    whole: wholeOf(real),
    most: real ? Infinity : MEMBRANE_MOST,
    membrane: new Float64Array(neurons),
    lasting: new Float64Array(neurons),
    driven: new Float64Array(neurons),
    apart: layer.inputs.length > 1 || layer.keptCurrent.some((share) => share > 0), // then currents saturate, too
    before: new Uint8Array(neurons), // who fired at the step before
    inputs: layer.inputs.map((input) => {
      const { kernel, stride, padding, windows, repeated, taken } = input;
      const [depth, rows, columns] = shapes[input.sources[0][0]];
      const copied = [rows, columns].map((side, axis) => taken[axis].length || side * repeated[axis + 1]);
      const pooled = copied.map((side, axis) => Math.floor(side / input.pool[axis]));
      const fit = (sides, size, apart, around) =>
        sides.map((side, axis) => Math.floor((side + 2 * around[axis] - size[axis]) / apart[axis]) + 1);
      const unpooled = kernel === null ? pooled : fit(pooled, kernel, stride, padding);
      const sides = windows === null ? unpooled : fit(unpooled, ...windows);
      const current = new Float64Array(channels * unpooled[0] * unpooled[1]);
      const arrived = new Int32Array(depth * repeated[0] * pooled[0] * pooled[1]);
      const scaled = Float64Array.from(input.gain, (gain) => gain / 2 ** input.shift); // exact
      const copies = copiesOf(repeated);
      const places = taken.map((numbers) => (numbers.length ? placesOf(numbers) : null));
      const sources = input.sources.map(([from, delay, sign, late]) => [from, delay, sign, late && new Set(late)]);
      return { ...input, sources, rows, columns, pooled, unpooled, current, arrived, scaled, sides, copies, places };
    }),
  };
}

// The neurons of a layer that fire at a step ≥ 1.
export function advance(state, fired, step) {
  const { layer, channels, pixels, membrane, lasting, driven, before, inputs, apart, whole, most, rounding } = state;
  const { kept, keptCurrent, toZero, subtracted, firesAbove, lowest } = layer;
  driven.fill(0);
  for (const input of inputs) {
    const current = input.heads
      ? attended(input, fired, step, channels, pixels)
      : summed(input, pooled(input, arrive(input, fired, step, channels), channels), channels);
    const gain = rowAt(input.scaled, step, channels);
    for (let at = 0; at < driven.length; at += channels) {
      for (let channel = 0; channel < channels; channel++) {
        driven[at + channel] += whole(current[at + channel] * gain[channel]);
      }
    }
  }
  const bias = rowAt(layer.bias, step, channels);
  const firing = [];
  for (let pixel = 0, at = 0; pixel < pixels; pixel++) {
    for (let channel = 0; channel < channels; channel++, at++) {
      let current = driven[at] + bias[channel];
      if (apart) {
        current = saturated(whole((lasting[at] * keptCurrent[channel]) / UNIT) + current, most);
        lasting[at] = current;
      }
      const left = toZero && before[at] ? 0 : whole((membrane[at] * kept[channel]) / UNIT);
      let value = saturated(left + current - (before[at] ? subtracted[channel] : 0), most);
      before[at] = value > firesAbove[channel] ? 1 : 0;
      if (Math.abs(value - firesAbove[channel]) < rounding * firesAbove[channel]) state.close = true;
      if (before[at]) firing.push(channel * pixels + pixel);
      if (lowest !== null && value < lowest[channel]) value = lowest[channel];
      membrane[at] = value;
    }
  }
  return firing;
}

// True if a neuron is of a channel that has a delay: of those that are `late`, or of any if that is undefined.
export function waits({ rows, columns }, late, neuron) {
  return !late || late.has(Math.floor(neuron / (rows * columns)));
}

// The currents of one input before they are pooled, channels last.
export function arrive(input, fired, step, channels) {
  const { sources, arrived, current, weights } = input;
  const pixels = input.pooled[0] * input.pooled[1];
  const touched = [];
  for (const [place, delay, sign, late] of sources) {
    if (step < delay) continue;
    for (const neuron of fired[place][step - delay]) {
      if (!waits(input, late, neuron)) continue;
      eachCell(input, neuron, (at) => {
        if (arrived[at] === 0) touched.push(at);
        arrived[at] = input.largest ? 1 : arrived[at] + sign;
      });
    }
  }
  current.fill(0);
  for (const at of touched) {
    const value = arrived[at];
    arrived[at] = 0;
    if (value === 0) continue; // it cancelled out, or was counted already
    if (weights === null) current[(at % pixels) * channels + Math.floor(at / pixels)] += value;
    else {
      eachSynapse(input, at, channels, (to, from) => {
        for (let channel = 0; channel < channels; channel++) current[to + channel] += value * weights[from + channel];
      });
    }
  }
  return current;
}

// Calls with the cell of the pooled map that a spike reaches, for each copy of it.
export function eachCell({ rows, columns, pooled, pool, repeated, copies, places }, neuron, call) {
  const column = neuron % columns;
  const line = Math.floor(neuron / columns);
  const row = line % rows;
  const channel = (line - row) / rows;
  for (const [deeper, down, across] of copies) {
    const plane = (channel * repeated[0] + deeper) * pooled[0];
    for (const y of taking(places[0], row * repeated[1] + down)) {
      for (const x of taking(places[1], column * repeated[2] + across)) {
        call((plane + Math.floor(y / pool[0])) * pooled[1] + Math.floor(x / pool[1]));
      }
    }
  }
}

// The rows or columns that take one.
function taking(places, number) {
  return places === null ? [number] : (places.get(number) ?? []);
}

// Each row or column -> those that take it.
function placesOf(numbers) {
  const places = new Map();
  numbers.forEach((number, at) => {
    if (number >= 0) places.set(number, [...(places.get(number) ?? []), at]);
  });
  return places;
}

// What is added to channel, row and column for each copy of a spike.
function copiesOf([channels, rows, columns]) {
  return Array.from({ length: channels * rows * columns }, (_, copy) => [
    Math.floor(copy / (rows * columns)),
    Math.floor(copy / columns) % rows,
    copy % columns,
  ]);
}

// The currents, or of each channel their sum.
function summed(input, current, channels) {
  if (!input.summed) return current;
  const sums = new Float64Array(channels);
  for (let at = 0; at < current.length; at++) sums[at % channels] += current[at];
  return sums;
}

// Attention: of head h, with channels c and e, Σ_m (Σ_c q[h,c,n] · k[h,c,m]) · v[h,e,m] at each token n, channels last.
function attended({ sources, heads, current }, fired, step, channels, pixels) {
  const [q, k, v] = tokensOf({ sources }, fired, step, channels, pixels);
  const size = channels / heads;
  const pairs = pairsOf(k, v, channels, size);
  current.fill(0);
  for (let n = 0; n < pixels; n++) {
    for (const c of q[n]) {
      const to = n * channels + c - (c % size);
      for (let e = 0; e < size; e++) current[to + e] += pairs[c * size + e];
    }
  }
  return current;
}

// Of q, k and v, the channels that fire at each token.
export function tokensOf({ sources }, fired, step, channels, pixels) {
  const each = sources.map(([place, delay]) => (step < delay ? [] : fired[place][step - delay]));
  return [0, 1, 2].map((part) => {
    const tokens = Array.from({ length: pixels }, () => []);
    for (const neuron of each.length === 1 ? each[0] : each[part]) {
      const channel = Math.floor(neuron / pixels) - (each.length === 1 ? part * channels : 0);
      if (channel >= 0 && channel < channels) tokens[neuron % pixels].push(channel);
    }
    return tokens;
  });
}

// [c, e]: the tokens at which c of k and e of v fire, both of one head of `size` channels.
export function pairsOf(k, v, channels, size) {
  const pairs = new Int32Array(channels * size);
  k.forEach((keys, m) => {
    for (const c of keys) {
      for (const e of v[m]) if (Math.floor(c / size) === Math.floor(e / size)) pairs[c * size + (e % size)]++;
    }
  });
  return pairs;
}

// Calls with the places in the currents and in the weights, each of the first channel, that a cell of the pooled map reaches.
export function eachSynapse({ pooled, unpooled, kernel, stride, padding }, at, channels, call) {
  const column = at % pooled[1];
  const line = Math.floor(at / pooled[1]);
  const row = line % pooled[0];
  const depth = (line - row) / pooled[0];
  for (let y = 0; y < kernel[0]; y++) {
    const down = (row + padding[0] - y) / stride[0];
    if (!Number.isInteger(down) || down < 0 || down >= unpooled[0]) continue;
    for (let x = 0; x < kernel[1]; x++) {
      const across = (column + padding[1] - x) / stride[1];
      if (!Number.isInteger(across) || across < 0 || across >= unpooled[1]) continue;
      call((down * unpooled[1] + across) * channels, ((depth * kernel[0] + y) * kernel[1] + x) * channels);
    }
  }
}

// The largest current of each window, or all where there are none.
function pooled(input, current, channels) {
  return input.windows === null ? current : Float64Array.from(winnersOf(input, current, channels), (at) => current[at]);
}

// Where the largest current of each window stands, or the first of several; what is outside the map is never the largest.
export function winnersOf({ unpooled, windows, sides }, current, channels) {
  const [size, stride, padding] = windows;
  const winners = new Int32Array(sides[0] * sides[1] * channels).fill(-1);
  for (let to = 0; to < winners.length; to += channels) {
    const [row, column] = [Math.floor(to / channels / sides[1]), (to / channels) % sides[1]];
    const [top, left] = [row * stride[0] - padding[0], column * stride[1] - padding[1]];
    for (let y = Math.max(0, top); y < Math.min(top + size[0], unpooled[0]); y++) {
      for (let x = Math.max(0, left); x < Math.min(left + size[1], unpooled[1]); x++) {
        const from = (y * unpooled[1] + x) * channels;
        for (let channel = 0; channel < channels; channel++) {
          const best = winners[to + channel];
          if (best < 0 || current[from + channel] > current[best]) winners[to + channel] = from + channel;
        }
      }
    }
  }
  return winners;
}

// The row of step - 1 of (1 or T, C) numbers.
export function rowAt(numbers, step, channels) {
  const row = (step - 1) % (numbers.length / channels);
  return numbers.subarray(row * channels, (row + 1) * channels);
}

function saturated(value, most) {
  return Math.min(most, Math.max(-most, value));
}

// How quotients become whole numbers: toward zero; those of a real network stay as they are.
function wholeOf(real) {
  return real ? (value) => value : Math.trunc;
}
