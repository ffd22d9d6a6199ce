// The controls: which maps are shown, of which step, and how.
import { button, changes, choice, colour, colourOf, element, say, slider } from "./dom.js";
import { classOf, KINDS, placeOf } from "./heat.js";
import { shownKinds } from "./layers.js";
import { paintLines } from "./paint.js";
import { largest } from "./sam.js";
import { ratesOf } from "./spikes.js";
import { GAMMA_MOST } from "./state.js";

// One method at a time, as tabs, with the options of the method, and what its maps show: { node, show(state, samples) }.
export function makeTabs(runs, about, change) {
  const tabs = about.kinds.map((kind) => {
    const show = () => change({ kind });
    return { kind, node: button(KINDS[kind].label, show, { role: "tab", "data-kind": kind }) };
  });
  const beside = choice(
    "beside it",
    "beside",
    { "": "nothing", ...Object.fromEntries(about.kinds.map((kind) => [kind, KINDS[kind].label])) },
    change,
  );
  const gamma = slider("gamma", { min: 0, max: GAMMA_MOST, step: 0.01 }, (value) => `γ ${value.toFixed(2)}`, change);
  const target = element("select", {
    name: "target",
    onchange: () => change({ target: targetAt(target.selectedIndex) }),
  });
  const targetAt = (at) => ["answer", "other"][at] ?? offered[at];
  let offered = []; // classes by number, or targets that were recorded by name
  const targets = element("label", {}, "for ", target);
  const says = element("p", { class: "says" });
  const silences = runs.some((run) => run.integers);
  const changed = changes();
  return {
    node: element(
      "div",
      { class: "tabs" },
      element("div", { role: "tablist", "aria-label": "Maps" }, ...tabs.map(({ node }) => node)),
      element("div", { class: "options" }, gamma.node, targets, about.kinds.length > 1 ? beside.node : null),
      says,
    ),
    show: (state, samples) => {
      const kinds = shownKinds(state);
      for (const { kind, node } of tabs) node.setAttribute("aria-selected", kind === state.kind);
      gamma.show(state);
      beside.show(state);
      gamma.node.hidden = !kinds.includes("sam");
      const which = samples.findIndex((loaded) => loaded?.sample.classes.length > 0);
      targets.hidden = which < 0 || !kinds.some((kind) => KINDS[kind].classes);
      if (!targets.hidden) {
        const { classes, right, values } = samples[which].sample;
        if (changed(which, samples[which].sample)) {
          const marks = values ? [] : [" (the answer)", right === false ? " (the true class)" : " (the runner-up)"];
          const { classes: names } = runs[which].answers;
          offered = classes;
          const options = classes.map((number, at) =>
            element(
              "option",
              { value: ["answer", "other"][at] ?? number },
              typeof number === "string" ? number : `${names[number]}${marks[at] ?? ""}`,
            ),
          );
          target.replaceChildren(...options);
        }
        target.selectedIndex = classes.indexOf(classOf(samples[which].sample, state));
      }
      const still =
        about.hasMap && state.view === "step" && !KINDS[state.kind].live ? " These are sums over all steps." : "";
      const click = ` Click a ${about.hasMap ? "place to see who fires there" : "neuron to see when it fires"}${silences ? ", and to silence it" : ""}.`;
      const named = targets.hidden ? "" : target.selectedOptions[0].textContent;
      const shown =
        state.kind === "attention" && placeOf(state)
          ? "Bright: whom the chosen token attends to"
          : KINDS[state.kind].classes && named
            ? `Green: what speaks for ${named}; pink: what speaks against it`
            : KINDS[state.kind].says;
      say(says, `${shown}.${still}${click}`);
    },
  };
}

// What is rarely touched, in a menu: { node, show(state) }.
export function makeMenu(about, change) {
  const behind = { ...(about.hasPicture && { picture: "picture" }), ...(about.hasInput && { input: "input spikes" }) };
  const object = { ...(about.hasBox && { box: "box" }), ...(about.hasMask && { mask: "outline" }), nothing: "hidden" };
  const parts = [
    choice("Scale", "scale", { layer: "each layer's own", all: "one for all layers" }, change),
    slider("opacity", { min: 0, max: 1, step: 0.05 }, (value) => `Opacity ${value.toFixed(2)}`, change),
    choice("Background", "behind", { ...behind, nothing: "none" }, change),
    ...(about.hasBox || about.hasMask ? [choice("Object", "object", object, change)] : []),
    ...(about.hasBand
      ? [choice("Neurons over time", "order", { number: "in order", activity: "most active first" }, change)]
      : []),
    choice("Theme", "theme", { auto: "as the system", light: "light", dark: "dark" }, change),
  ];
  const menu = element("div", {}, ...parts.map(({ node }) => node));
  return {
    node: element("details", { class: "menu" }, element("summary", {}, "⋯ view"), menu),
    show: (state) => {
      for (const part of parts) part.show(state);
    },
  };
}

const LONG = { edit: "Simulating the answer without these spikes …", relevance: "Computing relevance …" };

// What is being computed, if it takes long, and a button that stops it: { node, show(what) }, of a key of LONG, or null.
export function makeWaiting(stop) {
  const said = element("span", { role: "status" });
  let shown = null;
  const node = element(
    "p",
    { class: "note waiting", hidden: true },
    said,
    " ",
    button("stop", () => stop(shown)),
  );
  return {
    node,
    show: (what) => {
      shown = what;
      node.hidden = what === null;
      say(said, LONG[what] ?? "");
    },
  };
}

const CURVES = "Coloured curves: how often each layer fires. Curves without colour: the sum of its map.";

// The scrubber of time, whose curves are how often layers fire; its last position is the sum. { node, show(state, samples) }.
export function makeTime(runs, about, change) {
  const play = button("", () => change({ playing: play.dataset.on !== "true" }), { name: "playing" });
  const curves = element("canvas", { "aria-hidden": true });
  const go = (position) =>
    change(position < about.steps ? { view: "step", step: position, playing: false } : { view: "sum" });
  const input = element("input", {
    type: "range",
    name: "step",
    min: 0,
    max: about.steps,
    "aria-label": "step, or at the end the sum",
    oninput: () => go(Number(input.value)),
  });
  const point = (event) => {
    if (event.type === "pointermove" && event.buttons !== 1) return;
    const area = curves.getBoundingClientRect();
    const at = Math.floor(((event.clientX - area.left) / area.width) * about.steps);
    go(Math.max(0, Math.min(about.steps, at)));
  };
  const sum = element("span", { class: "sum" }, "sum");
  const track = element("div", { class: "track", onpointerdown: point, onpointermove: point }, input, curves, sum);
  const said = element("span", { class: "when", role: "status" });
  const below = element("div", { class: "below" }, said, element("span", { class: "legend" }, CURVES));
  const changed = changes();
  return {
    node: element("div", { class: "time" }, play, track, below),
    show: (state, samples) => {
      const step = state.view === "step" ? state.step : null;
      input.value = step ?? about.steps;
      const text = step === null ? "sum of all steps that matter" : `step ${step} of 0 … ${about.steps - 1}`;
      input.setAttribute("aria-valuetext", text);
      say(said, text);
      sum.classList.toggle("now", step === null);
      play.dataset.on = state.playing;
      say(play, state.playing ? "❚❚" : "▶");
      play.setAttribute("aria-label", state.playing ? "stop" : "play");
      if (!changed(...samples, step, curves.clientWidth, colour("now"))) return;
      const lines = samples.flatMap((loaded, at) =>
        runs[at].layers.map((_, which) => {
          const values = loaded ? ratesOf(loaded.spikes[which]) : [];
          return { values, most: largest(values), colour: colourOf(which, runs[at].layers.length) };
        }),
      );
      const until = Math.max(...runs.flatMap((run) => run.layers.map((layer) => layer.matter)));
      paintLines(curves, lines, { until, step, steps: about.steps });
    },
  };
}
