// The spikes of one layer and sample. They travel as trains: for every neuron a bit per step, the first step in the
// highest bit. Maps need them in order of time, and how long each neuron was silent before.

// trains: Uint8Array; shape: [C, H, W]; steps: T. Spike k of step t has first[t] <= k < first[t + 1].
export function decodeSpikes(trains, shape, steps) {
  const [channels, height, width] = shape;
  const pixels = height * width;
  const neurons = channels * pixels;
  const bytes = Math.ceil(steps / 8);
  const first = new Uint32Array(steps + 1);
  eachSpike(trains, neurons, bytes, (_, step) => first[step + 1]++);
  for (let step = 0; step < steps; step++) first[step + 1] += first[step];

  const place = first.slice();
  const neuron = new Uint32Array(first[steps]);
  const pixel = new Uint32Array(first[steps]);
  const gap = new Uint16Array(first[steps]); // steps since its spike before; 0 where there is none
  let before = -1;
  let last = 0;
  eachSpike(trains, neurons, bytes, (which, step) => {
    const at = place[step]++;
    neuron[at] = which;
    pixel[at] = which % pixels;
    gap[at] = which === before ? step - last : 0;
    before = which;
    last = step;
  });
  return { trains, shape, steps, neurons, pixels, bytes, first, neuron, pixel, gap };
}

// The neurons that fire at each step, as arrays.
export function spikesOfSteps({ first, neuron, steps }) {
  return Array.from({ length: steps }, (_, step) => [...neuron.subarray(first[step], first[step + 1])]);
}

// Trains of a layer from the neurons that fire at each step; undone by decodeSpikes and spikesOfSteps.
export function encodeSpikes(fired, { neurons, bytes }) {
  const trains = new Uint8Array(neurons * bytes);
  fired.forEach((firing, step) => {
    for (const neuron of firing) trains[neuron * bytes + (step >> 3)] |= 128 >> (step & 7);
  });
  return trains;
}

// Whether a neuron fires at a step.
export function fires(spikes, neuron, step) {
  return (spikes.trains[neuron * spikes.bytes + (step >> 3)] >> (7 - (step & 7))) & 1;
}

// How many spikes a neuron has.
export function spikesOf(spikes, neuron) {
  let count = 0;
  for (let step = 0; step < spikes.steps; step++) count += fires(spikes, neuron, step);
  return count;
}

// Spikes of the layer at every step.
export function spikesPerStep(spikes) {
  return Array.from({ length: spikes.steps }, (_, step) => spikes.first[step + 1] - spikes.first[step]);
}

function eachSpike(trains, neurons, bytes, call) {
  for (let neuron = 0, at = 0; neuron < neurons; neuron++) {
    for (let byte = 0; byte < bytes; byte++, at++) {
      for (let bits = trains[at]; bits; bits &= ~(1 << (31 - Math.clz32(bits)))) {
        call(neuron, 8 * byte + Math.clz32(bits) - 24);
      }
    }
  }
}

// Spikes per neuron at every step.
export function ratesOf(spikes) {
  return spikesPerStep(spikes).map((count) => count / spikes.neurons);
}
