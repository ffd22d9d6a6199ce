// Puts the page together: one state, shown anew in the next frame after each change.
import { makeControls } from "./controls.js";
import { element, say } from "./dom.js";
import { makeGallery } from "./gallery.js";
import { heatOf, KINDS, stepOf } from "./heat.js";
import { largestOf, makeLayers } from "./layers.js";
import { aboutRuns, dataOf, partner, sampleLoader } from "./model.js";
import { makePixel } from "./pixel.js";
import { changeOfKey, initialState, nextState } from "./state.js";
import { makeTables } from "./tables.js";
import { makeWhatIf } from "./whatif.js";

const PLAY_MILLISECONDS = 10_000; // for all steps, but
const STEP_MILLISECONDS = [40, 250]; // at least and at most so many for one

const { runs } = dataOf(document.getElementById("data").textContent);
const about = aboutRuns(runs);
const controls = makeControls(about, change);
const gallery = makeGallery(runs, change);
const views = runs.map((run) => {
  const when = element("small");
  const parts = { layers: makeLayers(run, about, change), pixel: makePixel(run, change), tables: makeTables(run) };
  const missing = element("p", { class: "quiet", hidden: true }, "This page holds no such sample of this run.");
  const body = element("div", {}, parts.layers.node, parts.pixel.node, parts.tables.node);
  const facts = run.facts.flatMap(([term, fact]) => [
    element("dt", {}, term),
    element("dd", {}, element("bdi", {}, fact)),
  ]);
  const graph = run.graph ? [graphOf(run.graph)] : [];
  const notes = run.notes.map((note) => element("p", { class: "note" }, note));
  const node = element(
    "section",
    { class: "run" },
    element("h2", {}, element("bdi", {}, run.name), " ", when),
    element("dl", {}, ...facts),
    ...graph,
    ...notes,
    missing,
    body,
  );
  return { run, ...parts, when, missing, body, node, load: sampleLoader(run), whatIf: makeWhatIf(run) };
});

let state = initialState(about);
let asked = 0;
let timer = null;

function change(wanted) {
  const before = state;
  state = nextState(state, wanted, about);
  if (state.playing !== before.playing) {
    clearInterval(timer);
    if (state.playing) timer = setInterval(() => change({ tick: true }), stepMilliseconds());
  }
  if (!asked) asked = requestAnimationFrame(show);
  return state;
}

async function show() {
  asked = 0;
  const shown = state;
  const places = views.map(({ run }) => partner(runs, run, shown.sample));
  const samples = await Promise.all(
    views.map(async ({ load, whatIf }, at) =>
      places[at] === null ? null : whatIf(await load(places[at]), shown.silenced),
    ),
  );
  if (shown.sample !== state.sample || shown.silenced !== state.silenced) return; // others were chosen meanwhile
  const begun = performance.now();
  document.documentElement.dataset.theme = state.theme;
  controls.show(state);
  gallery.show(state);
  const largest = views.map(({ run }, at) =>
    samples[at] && state.scale === "all" ? largestOf(run, samples[at], state) : {},
  );
  const most = Object.fromEntries(
    Object.keys(KINDS).map((kind) => [kind, Math.max(...largest.map((each) => each[kind] ?? 0))]),
  );
  views.forEach((view, at) => {
    view.missing.hidden = samples[at] !== null;
    view.body.hidden = samples[at] === null;
    if (samples[at] === null) return;
    say(view.when, whenOf(view.run));
    for (const part of [view.layers, view.pixel, view.tables]) part.show(state, samples[at], most);
  });
  document.documentElement.dataset.shown = (performance.now() - begun).toFixed(2); // milliseconds
}

function graphOf({ address, chain }) {
  const alt = "The network: a box for every layer, an arrow for everything that is read, with how often it fires.";
  const picture = element("img", { class: "graph", src: address, alt });
  return element(
    "details",
    { open: !chain },
    element("summary", {}, "The network, and how often its layers fire"),
    picture,
  );
}

function stepMilliseconds() {
  const [least, most] = STEP_MILLISECONDS;
  return Math.min(most, Math.max(least, PLAY_MILLISECONDS / about.steps));
}

function whenOf(run) {
  if (state.view === "sum") return "summed over the steps that matter";
  return `step ${stepOf(run, state)} of 0 … ${run.steps - 1}`;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, button")) return;
  const wanted = changeOfKey(event.key, state);
  if (wanted === null) return;
  event.preventDefault();
  change(wanted);
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => change({}));

document.getElementById("controls").append(controls.node);
document.getElementById("gallery").append(gallery.node);
document.getElementById("runs").append(...views.map((view) => view.node));
change({});

// For the browser's console: report.map(0, "conv1", 2) is the SAM of run 0, layer conv1, sample 2, at the γ that is set.
window.report = {
  runs,
  state: () => state,
  change,
  // What the readout of run 0 sums up for sample 2 without channel 3 of conv1, and what fires:
  // report.whatIf(0, 2, { layer: "conv1", cells: [], channels: [3] }).
  whatIf: async (run, sample, silenced) => views[run].whatIf(await views[run].load(sample), silenced),
  map: async (run, layer, sample, fields = {}, kind = "sam") => {
    const loaded = await views[run].load(sample);
    const at = runs[run].layers.findIndex((each) => each.name === layer);
    return heatOf(runs[run], loaded, at, kind, { ...state, ...fields });
  },
};
