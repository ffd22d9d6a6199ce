// What may take seconds: what a sample would be without some of its spikes, and relevance. See work.js for where it is computed.
import { explainedLayers } from "./relevance.js";
import { decodeSpikes } from "./spikes.js";
import { spikesWithout, unpackNetwork } from "./whatif.js";

// A function of a request: { run, sample, trains, scores }, the sample's spikes by layer and a number of its own; and either
// `silenced`, see state.js, or the class that is explained, `which`. It gives what whatif.js or relevance.js say of it.
export function makeTasks(runs) {
  const networks = runs.map(({ integers }) => integers && unpackNetwork(integers));
  let known = { sample: null }; // the sample asked of last: what is computed of it once
  return async ({ run: number, sample, trains, scores, silenced, which }) => {
    const [run, network] = [runs[number], await networks[number]];
    if (known.sample !== sample) {
      const spikes = run.layers.map(({ shape }, at) => decodeSpikes(trains[at], shape, run.steps));
      known = { sample, scores, spikes, reproduced: new Map(), relevance: null };
    }
    return silenced ? spikesWithout(run, network, known, silenced) : explainedLayers(run, network, known, which);
  };
}

// In a worker: answers the page's messages, the first of which has the runs.
export function serveTasks() {
  let compute = null;
  self.addEventListener("message", async ({ data }) => {
    if (data.runs) {
      compute = makeTasks(data.runs);
      return;
    }
    try {
      self.postMessage({ result: await compute(data) });
    } catch (error) {
      self.postMessage({ error: `${error}` });
    }
  });
}
