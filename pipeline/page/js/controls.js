// The controls: each shows a field of the state, and asks for another value of it.
import { element, say } from "./dom.js";
import { KINDS } from "./heat.js";
import { GAMMA_MOST } from "./state.js";

// Returns { node, show(state) }.
export function makeControls(about, change) {
  const parts = [
    choice("Steps", "view", { sum: "sum of all that matter", step: "one at a time" }, change),
    stepSlider(about, change),
    slider("γ", "gamma", { min: 0, max: GAMMA_MOST, step: 0.01 }, (value) => `γ = ${value.toFixed(2)}`, change),
    kinds(about, change),
    about.kinds.some((kind) => KINDS[kind].signed) ? target(change) : null,
    choice("Scale", "scale", { layer: "each layer's own", all: "one for all layers" }, change),
    slider("Opacity", "opacity", { min: 0, max: 1, step: 0.05 }, (value) => `opacity ${value.toFixed(2)}`, change),
    choice(
      "Behind",
      "behind",
      {
        ...(about.hasPicture && { picture: "picture" }),
        ...(about.hasInput && { input: "input spikes" }),
        nothing: "nothing",
      },
      change,
    ),
    about.hasBox || about.hasMask
      ? choice(
          "Object",
          "object",
          { ...(about.hasBox && { box: "box" }), ...(about.hasMask && { mask: "outline" }), nothing: "hidden" },
          change,
        )
      : null,
    choice("Theme", "theme", { auto: "as the system", light: "light", dark: "dark" }, change),
  ].filter((part) => part !== null);
  return {
    node: element(
      "form",
      { class: "controls", "aria-label": "Controls", onsubmit: (event) => event.preventDefault() },
      ...parts.map((part) => part.node),
    ),
    show: (state) => {
      for (const part of parts) part.show(state);
    },
  };
}

function choice(title, field, options, change) {
  const select = element(
    "select",
    { name: field, onchange: () => change({ [field]: select.value }) },
    ...Object.entries(options).map(([value, text]) => element("option", { value }, text)),
  );
  return {
    node: element("label", {}, element("span", {}, title), select),
    show: (state) => {
      select.value = state[field];
    },
  };
}

function slider(title, field, range, text, change) {
  const input = element("input", {
    type: "range",
    name: field,
    ...range,
    "aria-label": title,
    oninput: () => change({ [field]: Number(input.value) }),
  });
  const shown = element("span");
  return {
    node: element("label", {}, shown, input),
    show: (state) => {
      if (Number(input.value) !== state[field]) input.value = state[field];
      say(shown, text(state[field]));
    },
  };
}

function stepSlider(about, change) {
  const play = element("button", {
    type: "button",
    name: "playing",
    onclick: () => change({ playing: play.dataset.on !== "true" }),
  });
  const input = element("input", {
    type: "range",
    name: "step",
    min: 0,
    max: about.steps - 1,
    step: 1,
    "aria-label": "step",
    oninput: () => change({ view: "step", playing: false, step: Number(input.value) }),
  });
  const shown = element("span");
  return {
    node: element("div", { class: "steps" }, element("label", {}, shown, input), play),
    show: (state) => {
      input.value = state.step;
      play.dataset.on = state.playing;
      say(play, state.playing ? "❚❚ stop" : "▶ play");
      say(shown, `step ${state.step} of 0 … ${about.steps - 1}`);
    },
  };
}

function kinds(about, change) {
  const boxes = about.kinds.map((kind) => {
    const box = element("input", { type: "checkbox", name: kind, onchange: () => change({ [kind]: box.checked }) });
    return { kind, box, node: element("label", { class: "tick" }, box, KINDS[kind].label) };
  });
  return {
    node: element("fieldset", {}, element("legend", {}, "Show"), ...boxes.map((box) => box.node)),
    show: (state) => {
      for (const { kind, box } of boxes) box.checked = state[kind];
    },
  };
}

// For which class relevance is shown, and what its colours mean.
function target(change) {
  const classes = choice(
    "Relevance for",
    "target",
    { predicted: "the answer", other: "true class or runner-up" },
    change,
  );
  const legend = element("small", {}, "against ", element("span", { class: "legend signed" }), " for");
  const node = element("div", { class: "beside" }, classes.node, legend);
  return {
    node,
    show: (state) => {
      node.hidden = !Object.keys(KINDS).some((kind) => KINDS[kind].signed && state[kind]);
      classes.show(state);
    },
  };
}
