// Long computations, in a worker: the page goes on meanwhile, and they can be stopped.
import { makeTasks } from "./tasks.js";

const SOON = 150; // milliseconds: what takes less is done before anything is shown

// { ask, stop }: a promise of what tasks.js gives for a request, null if it was stopped, or a newer request of its `slot` came
// first; and the stop of all. `script` is the page's own, with which the worker begins. Where a browser, or the page around this
// one, allows no worker, the page computes by itself.
export function makeWork(runs, script) {
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  let [worker, here, running, waiting] = [null, null, null, []];

  function begin() {
    worker = new Worker(address); // no module: browsers begin none from a page that is a file
    worker.addEventListener("message", ({ data }) => end(data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      here = makeTasks(runs);
      computeHere();
    });
    const needed = ({ integers, answers, layers, steps }) => ({ integers, answers, layers, steps });
    worker.postMessage({ runs: runs.map(needed) });
  }

  function computeHere() {
    here(running.request).then(
      (result) => end({ result }),
      (error) => end({ error }),
    );
  }

  function next() {
    if (running || waiting.length === 0) return;
    running = waiting.shift();
    if (here) computeHere();
    else {
      if (!worker) begin();
      worker.postMessage(running.request);
    }
  }

  function end({ result, error }) {
    if (error) running.reject(new Error(error));
    else running.resolve(result);
    running = null;
    next();
  }

  return {
    ask: (request, slot = null) =>
      new Promise((resolve, reject) => {
        for (const older of waiting) if (slot !== null && older.slot === slot) older.resolve(null);
        waiting = waiting.filter((older) => slot === null || older.slot !== slot);
        waiting.push({ request, slot, resolve, reject });
        next();
      }),
    stop: () => {
      worker?.terminate();
      worker = null;
      for (const { resolve } of running ? [running, ...waiting] : waiting) resolve(null);
      [running, waiting] = [null, []];
    },
  };
}

// A promise's value, undefined until it is `over`; `soon` is when it is, or when something else had better be shown. `late` is
// called where it comes after that.
export function jobOf(promise, late) {
  const job = { value: undefined, over: false };
  const done = promise.then((value) => Object.assign(job, { value, over: true }));
  job.soon = Promise.race([done, new Promise((resolve) => setTimeout(resolve, SOON))]).then(() => {
    if (!job.over) done.then(late);
  });
  return job;
}
