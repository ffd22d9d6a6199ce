// What the page shows is a function of one state; every control makes a new state of the one before.

export const GAMMA_MOST = 3;

// about: { samples, steps, busiest, gamma, events, kinds, hasPicture, hasInput, hasBox, hasMask }, of all runs together.
export function initialState(about) {
  return {
    sample: 0,
    view: about.events ? "step" : "sum",
    step: about.busiest,
    playing: false,
    gamma: about.gamma,
    ...Object.fromEntries(about.kinds.map((kind) => [kind, true])),
    target: "predicted", // or "other": the class that relevance is for
    scale: "layer",
    opacity: 0.6,
    behind: about.hasPicture ? "picture" : about.hasInput ? "input" : "nothing",
    object: about.hasBox ? "box" : about.hasMask ? "mask" : "nothing",
    theme: "auto",
    silenced: null, // { layer, cells, channels }: whose spikes are left out, by numbers of pixels and of channels
    pixel: null, // { layer, x, y }: where in the map, in shares of its width and height
  };
}

// change: some fields of the state, with new values; or { tick: true }, when a step's time is over; or { silence }, see
// silencedWith.
export function nextState(state, change, about) {
  if (change.tick) return { ...state, step: (state.step + 1) % about.steps };
  if (change.silence) return { ...state, silenced: silencedWith(state.silenced, change.silence) };
  const next = { ...state, ...change };
  if ("playing" in change && change.playing) next.view = "step";
  if ("view" in change && change.view === "sum") next.playing = false;
  next.sample = wrapped(next.sample, about.samples);
  next.step = within(Math.round(next.step), 0, about.steps - 1);
  next.gamma = within(next.gamma, 0, GAMMA_MOST);
  next.opacity = within(next.opacity, 0, 1);
  return next;
}

// What is silenced after a place or a channel of a layer was: { layer, cell } or { layer, channel }, and `silent`, or the
// other way round than before. Null is nothing. Another layer's are silenced in place of those before.
function silencedWith(silenced, { layer, cell, channel, silent }) {
  const before = silenced?.layer === layer ? silenced : { layer, cells: [], channels: [] };
  const [field, which] = channel === undefined ? ["cells", cell] : ["channels", channel];
  const known = before[field].includes(which);
  if (known === silent) return silenced;
  const numbers = known ? before[field].filter((each) => each !== which) : [...before[field], which];
  const after = { ...before, [field]: numbers };
  return after.cells.length + after.channels.length > 0 ? after : null;
}

// The change that a key asks for, or null.
export function changeOfKey(key, state) {
  switch (key) {
    case "n":
      return { sample: state.sample + 1 };
    case "p":
      return { sample: state.sample - 1 };
    case "c":
      return { target: state.target === "predicted" ? "other" : "predicted" };
    case "s":
      return { view: state.view === "sum" ? "step" : "sum" };
    case " ":
      return { playing: !state.playing };
    case ".":
      return { view: "step", step: state.step + 1 };
    case ",":
      return { view: "step", step: state.step - 1 };
    default:
      return null;
  }
}

// The cell of a map with `cells` rows or columns that a share of its side lies in.
export function cellAt(share, cells) {
  return within(Math.floor(share * cells), 0, cells - 1);
}

function within(value, least, most) {
  return Math.min(most, Math.max(least, Number.isFinite(value) ? value : least));
}

function wrapped(value, count) {
  return ((value % count) + count) % count;
}
