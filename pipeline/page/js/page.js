// Puts the page together: one state, shown anew in the next frame after each change.
import { makeAnswer } from "./answer.js";
import { makeMenu, makeTabs, makeTime, makeWaiting } from "./controls.js";
import { element } from "./dom.js";
import { makeGallery } from "./gallery.js";
import { classOf, heatOf, KINDS, momentsOfHeat } from "./heat.js";
import { makeHost } from "./host.js";
import { largestOf, makeLayers, shownKinds } from "./layers.js";
import { aboutRuns, dataOf, editedSample, partner, sampleLoader } from "./model.js";
import { makePlace } from "./place.js";
import { changeOfKey, initialState, nextState } from "./state.js";
import { makeTables } from "./tables.js";
import { jobOf, makeWork } from "./work.js";

const PLAY_MILLISECONDS = 10_000; // for all steps, but
const STEP_MILLISECONDS = [40, 250]; // at least and at most so many for one

export function showPage() {
  const { runs } = dataOf(document.getElementById("data").textContent);
  const about = aboutRuns(runs);
  const two = runs.length > 1;
  const work = makeWork(runs, document.querySelector("script[type=module]").textContent);
  const host = makeHost(runs[0], change);
  const gallery = makeGallery(runs, about.wrong, change);
  const menu = makeMenu(about, change);
  const shared = [makeTabs(runs, about, change), makeTime(runs, about, change), makePlace(runs, change)];
  const views = runs.map((run, index) => ({
    run,
    parts: [makeAnswer(run, change, two), makeLayers(run, index, change, two), makeTables(run, two)],
    missing: element("p", { class: "quiet", hidden: true }, "This page holds no such sample of this run."),
    load: sampleLoader(run),
  }));
  const waiting = makeWaiting((what) => {
    work.stop();
    change({ stop: what });
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
    document.documentElement.dataset.busy = "";
    if (!asked) asked = requestAnimationFrame(show);
    return state;
  }

  // The job that simulates a sample without what is silenced; null where nothing is, or the run has no such layer.
  function editOf(index, loaded, silenced) {
    const run = runs[index];
    if (!loaded || !run.integers || !run.layers.some(({ name }) => name === silenced?.layer)) return null;
    if (loaded.edited?.silenced !== silenced || loaded.edited.job.value === null) {
      const found = work.ask({ ...requestOf(index, loaded), silenced }, `edit ${index}`);
      loaded.edited = {
        silenced,
        job: jobOf(
          found.then((then) => then && editedSample(run, loaded, then)),
          redraw,
        ),
      };
    }
    return loaded.edited.job;
  }

  // The job that computes the relevance of a sample for the class that is shown; null where the page does not.
  function explainOf(index, loaded) {
    if (!loaded || !runs[index].explains || !shownKinds(state).some((kind) => KINDS[kind].classes)) return null;
    const which = classOf(loaded.sample, state);
    if (which === null) return null;
    if (loaded.relevance?.which !== which || loaded.relevance.job.value === null) {
      const found = work.ask({ ...requestOf(index, loaded), which }, `explain ${index}`);
      loaded.relevance = { which, job: jobOf(found, redraw) };
    }
    return loaded.relevance.job;
  }

  function requestOf(index, { number, spikes, sample }) {
    return { run: index, sample: number, trains: spikes.map(({ trains }) => trains), scores: sample.scores };
  }

  function redraw() {
    change({});
  }

  async function show() {
    asked = 0;
    const shown = state;
    const places = views.map(({ run }) => partner(runs, run, shown.sample));
    const recorded = await Promise.all(views.map(({ load }, at) => (places[at] === null ? null : load(places[at]))));
    const edits = recorded.map((loaded, at) => editOf(at, loaded, shown.silenced));
    await Promise.all(edits.map((job) => job?.soon));
    const samples = recorded.map((loaded, at) => edits[at]?.value ?? loaded);
    const explained = samples.map((loaded, at) => explainOf(at, loaded));
    await Promise.all(explained.map((job) => job?.soon));
    if (shown.sample !== state.sample || shown.silenced !== state.silenced) return; // others were chosen meanwhile
    const begun = performance.now();
    document.documentElement.dataset.theme = state.theme;
    gallery.show(state);
    menu.show(state);
    const largest = views.map(({ run }, at) =>
      samples[at] && state.scale === "all" ? largestOf(run, samples[at], state) : {},
    );
    const most = Object.fromEntries(
      largest.flatMap(Object.keys).map((kind) => [kind, Math.max(...largest.map((each) => each[kind] ?? 0))]),
    );
    shared[2].show(state, samples); // first, since it takes room from the others
    views.forEach(({ parts, missing }, at) => {
      missing.hidden = samples[at] !== null;
      for (const part of parts) {
        part.node.hidden = samples[at] === null;
        if (samples[at] !== null) part.show(state, samples[at], most);
      }
    });
    shared[0].show(state, samples);
    shared[1].show(state, samples);
    host.show(state);
    const isLate = (job) => job !== null && !job.over;
    const late = edits.some(isLate) ? "edit" : explained.some(isLate) ? "relevance" : null;
    waiting.show(late);
    if (!asked && late === null) delete document.documentElement.dataset.busy;
    document.documentElement.dataset.shown = (performance.now() - begun).toFixed(2); // milliseconds
  }

  function stepMilliseconds() {
    const [least, most] = STEP_MILLISECONDS;
    return Math.min(most, Math.max(least, PLAY_MILLISECONDS / about.steps));
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, button, summary"))
      return;
    const wanted = changeOfKey(event.key, state);
    if (wanted === null) return;
    event.preventDefault();
    change(wanted);
  });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  const [tabs, time, place] = shared.map(({ node }) => node);
  const notes = runs.flatMap((run) => run.notes.map((note) => element("p", { class: "note" }, note)));
  const line = element("p", { class: "quiet" }, element("bdi", {}, runs.map((run) => run.about).join(" · beside ")));
  document.querySelector("header").append(line, menu.node, gallery.node);
  const main = document.querySelector("main");
  main.removeAttribute("aria-busy");
  main.replaceChildren(
    element("div", { class: "answers" }, ...views.map(({ parts }) => parts[0].node)),
    element(
      "div",
      { class: "layers" },
      tabs,
      element("div", { class: "runs" }, ...views.flatMap(({ parts, missing }) => [parts[1].node, missing])),
      time,
      ...notes,
    ),
    place,
    waiting.node,
  );
  document.querySelector("footer").prepend(...views.map(({ parts }) => parts[2].node));
  new ResizeObserver(redraw).observe(main);
  redraw();

  // For the browser's console: report.map(0, "conv1", 2) is the SAM of run 0, layer conv1, sample 2, at the γ that is set.
  window.report = {
    runs,
    state: () => state,
    change,
    // What the readout of run 0 sums up for sample 2 without channel 3 of conv1, and what fires:
    // report.whatIf(0, 2, { layer: "conv1", cells: [], channels: [3] }).
    whatIf: async (run, sample, silenced) => {
      const loaded = await views[run].load(sample);
      return editedSample(runs[run], loaded, await work.ask({ ...requestOf(run, loaded), silenced }));
    },
    map: async (run, layer, sample, fields = {}, kind = "sam") => {
      const loaded = await views[run].load(sample);
      const at = runs[run].layers.findIndex((each) => each.name === layer);
      const fieldsOf = { ...state, ...fields };
      if (KINDS[kind].classes && runs[run].explains) {
        const which = classOf(loaded.sample, fieldsOf);
        const heats = await work.ask({ ...requestOf(run, loaded), which });
        loaded.relevance = { which, job: { value: heats, over: true } };
      }
      const of = [runs[run], loaded, at, kind, fieldsOf];
      return { ...heatOf(...of), moments: momentsOfHeat(...of) };
    },
  };
}
