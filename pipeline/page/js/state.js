// What the page shows is a function of one state; every control makes a new state of the one before.

export const GAMMA_MOST = 3;

// about: { samples, wrong, steps, busiest, gamma, events, kinds, hasPicture, hasInput, hasBox, hasMask, hasBand }, of all runs together.
export function initialState(about) {
  return {
    sample: 0,
    onlyWrong: false, // samples without a wrong answer are passed over
    view: about.events ? "step" : "sum",
    step: about.busiest,
    playing: false,
    gamma: about.gamma,
    kind: about.kinds[0], // the maps that are shown,
    beside: "", // and others beside them
    target: "answer", // the class that relevance is for, by number, or a target by name; or "other", the true one, or else the runner-up
    scale: "layer",
    order: "number", // of the neurons of a band, or "activity"
    opacity: 0.6,
    behind: about.hasPicture ? "picture" : about.hasInput ? "input" : "nothing",
    object: about.hasBox ? "box" : about.hasMask ? "mask" : "nothing",
    theme: "auto",
    silenced: null, // { layer, cells, channels, before }: whose spikes are left out, and what was before that
    open: [], // blocks whose layers are shown in full, see layers.js
    large: null, // { run, layer }: the layer whose map is enlarged
    pixel: null, // { run, layer, band, x, y }: the chosen place, in shares of the map's width and height
  };
}

// change: some fields of the state, with new values; or { tick: true }, when a step's time is over; { undo: true }; { fold },
// a block that is opened or closed; { stop }, "edit" or "relevance", whose computation was stopped; { silence }, see silencedWith. A `large` layer that is named again is small again.
export function nextState(state, change, about) {
  if (change.tick) return { ...state, step: (state.step + 1) % about.steps };
  if (change.stop === "relevance") return { ...state, kind: about.kinds[0], beside: "" };
  if (change.undo || change.stop === "edit") return { ...state, silenced: state.silenced?.before ?? null };
  if (change.silence) return { ...state, silenced: silencedWith(state.silenced, change.silence) };
  if (change.fold) {
    const open = state.open.filter((block) => block !== change.fold);
    return { ...state, open: open.length < state.open.length ? open : [...open, change.fold] };
  }
  const next = { ...state, ...change };
  const { large } = state;
  if (large && change.large?.run === large.run && change.large.layer === large.layer) next.large = null;
  if ("playing" in change && change.playing) next.view = "step";
  if ("view" in change && change.view === "sum") next.playing = false;
  if (next.beside === next.kind) next.beside = "";
  const direction = next.sample < state.sample ? -1 : 1;
  next.sample = wrapped(next.sample, about.samples);
  next.onlyWrong &&= about.wrong.includes(true);
  while (next.onlyWrong && !about.wrong[next.sample]) next.sample = wrapped(next.sample + direction, about.samples);
  next.step = within(Math.round(next.step), 0, about.steps - 1);
  next.gamma = within(next.gamma, 0, GAMMA_MOST);
  next.opacity = within(next.opacity, 0, 1);
  return next;
}

// What is silenced after a place or a channel of a layer was: { layer, cell } or { layer, channel }, and `silent`, or the
// other way round than before. Null is nothing. Another layer's are silenced in place of those before. What a mouse draws is
// one edit: what comes after its first place has `more`.
function silencedWith(silenced, { layer, cell, channel, silent, more }) {
  const known = silenced?.layer === layer ? silenced : { layer, cells: [], channels: [] };
  const [field, which] = channel === undefined ? ["cells", cell] : ["channels", channel];
  const is = known[field].includes(which);
  if (is === silent) return silenced;
  const numbers = is ? known[field].filter((each) => each !== which) : [...known[field], which];
  const after = { ...known, [field]: numbers, before: more ? (silenced?.before ?? null) : silenced };
  return after.cells.length + after.channels.length > 0 ? after : null;
}

// The change that a key asks for, or null.
export function changeOfKey(key, state) {
  switch (key) {
    case "n":
      return { sample: state.sample + 1 };
    case "p":
      return { sample: state.sample - 1 };
    case "u":
      return { undo: true };
    case "c":
      return { target: state.target === "answer" ? "other" : "answer" };
    case "s":
      return { view: state.view === "sum" ? "step" : "sum" };
    case " ":
      return { playing: !state.playing };
    case ".":
      return { view: "step", step: state.step + 1 };
    case ",":
      return { view: "step", step: state.step - 1 };
    case "Escape":
      return { pixel: null, large: null };
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
