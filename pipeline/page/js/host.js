// The page within another, such as a widget of a notebook: what is chosen is the same on both sides. The page speaks only to the
// window around it, and only once that has spoken: { spikesam: "set", layer, place, step, edit } comes in, a field that is left
// out stays, and after each change { spikesam: "state", layer, place, step, edit } goes out.
import { cellOf } from "./heat.js";

// layer: the chosen one, or null. place: [row, column] in it, of a layer without places [neuron], or null. step: a number, or
// null for the sum. edit: { layer, places, channels } that are silent, or null. What is chosen in another run is null, too.
export function valuesOf(run, { pixel, large, view, step, silenced }) {
  const placeIn = (layer) => (cell) =>
    layer.band ? [cell] : [Math.floor(cell / layer.shape[2]), cell % layer.shape[2]];
  const [chosen, enlarged] = [pixel, large].map((choice) =>
    choice?.run === 0 ? layerOf(run, choice.layer) : undefined,
  );
  const silencedLayer = silenced ? layerOf(run, silenced.layer) : undefined; // an edit is of every run that has its layer
  return {
    layer: (chosen ?? enlarged)?.name ?? null,
    place: chosen ? placeIn(chosen)(cellOf(pixel, chosen.shape.slice(1)).cell) : null,
    step: view === "step" ? step : null,
    edit: silencedLayer
      ? {
          layer: silencedLayer.name,
          places: silenced.cells.map(placeIn(silencedLayer)),
          channels: [...silenced.channels],
        }
      : null,
  };
}

// The change of the state that makes these values, some of those of `valuesOf`; null where a layer is none of the run.
export function changeTo(run, state, wanted) {
  const before = valuesOf(run, state);
  const values = { ...before, ...wanted };
  const { layer, step, edit } = values;
  if ([layer, edit?.layer].some((name) => name != null && !layerOf(run, name))) return null;
  values.place &&= isPlaceOf(layerOf(run, layer), values.place) ? values.place : null; // of another layer
  const { place } = values;
  const differs = (...names) => names.some((name) => JSON.stringify(values[name]) !== JSON.stringify(before[name]));
  const change = {};
  if (differs("layer", "place")) {
    change.pixel = place && pixelOf(layerOf(run, layer), place);
    const enlarged = state.large?.run === 0 ? state.large.layer : null;
    if (!place && enlarged !== layer) change.large = layer && { run: 0, layer };
  }
  if (differs("step"))
    Object.assign(change, { playing: false }, step === null ? { view: "sum" } : { view: "step", step });
  if (differs("edit")) change.silenced = edit && silencedOf(layerOf(run, edit.layer), edit);
  return change;
}

// Answers the window around the page: { show(state) }, of the first run.
export function makeHost(run, change) {
  let host = null;
  let told = ""; // what the host knows
  const hear = ({ source, data }) => {
    if (source !== window.parent || source === window || data?.spikesam !== "set") return;
    const wanted = Object.fromEntries(
      ["layer", "place", "step", "edit"].filter((name) => name in data).map((name) => [name, data[name]]),
    );
    const wantedChange = changeTo(run, change({}), wanted);
    if (wantedChange === null) return;
    [host, told] = [source, ""];
    change(wantedChange);
  };
  addEventListener("message", hear);
  return {
    show: (state) => {
      if (host === null) return;
      const values = valuesOf(run, state);
      const text = JSON.stringify(values);
      if (text === told) return;
      told = text;
      host.postMessage({ spikesam: "state", ...values }, "*"); // a notebook's frame has no origin to name
    },
  };
}

function layerOf(run, name) {
  return run.layers.find((layer) => layer.name === name);
}

function isPlaceOf(layer, place) {
  const sides = layer ? layer.shape.slice(1, layer.band ? 2 : 3) : [];
  return layer !== undefined && place.length === sides.length && place.every((at, side) => at >= 0 && at < sides[side]);
}

function pixelOf({ name, band, shape: [, height, width] }, [row, column = 0]) {
  return { run: 0, layer: name, band, x: (column + 0.5) / width, y: (row + 0.5) / height };
}

function silencedOf({ name, shape: [, , width] }, { places, channels }) {
  const cells = places.map(([row, column = 0]) => row * width + column);
  return { layer: name, cells, channels, before: null };
}
