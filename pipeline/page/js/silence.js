// Beside the pixel that is looked at: buttons that silence its place or a channel of its layer, and what is silent.
import { element, say } from "./dom.js";
import { answerOf, percent } from "./words.js";

// Returns { node, show(state, loaded, pixel) }; null where the page cannot simulate the run.
export function makeSilence(run, change) {
  if (!run.integers) return null;
  let looked = null; // the pixel, as it was last shown
  const silence = (chosen) => change({ silence: { layer: run.layers[looked.at].name, ...chosen } });
  const place = element("button", { type: "button", onclick: () => silence({ cell: looked.cell }) });
  const channel = element("select", {
    name: "channel",
    "aria-label": "silence or unsilence a channel",
    onchange: () => silence({ channel: Number(channel.value) }),
  });
  const undo = element("button", { type: "button", onclick: () => change({ silenced: null }) }, "undo all");
  const said = element("span", { role: "status" });
  const node = element("p", { class: "silence" }, "What if? ", place, " ", channel, " ", undo, " ", said);
  return {
    node,
    show: ({ silenced }, { sample, whatIf }, pixel) => {
      const { name, shape } = run.layers[pixel.at];
      const own = silenced?.layer === name ? silenced : { cells: [], channels: [] };
      looked = { at: pixel.at, cell: pixel.row * shape[2] + pixel.column };
      say(place, own.cells.includes(looked.cell) ? "let this place fire again" : "silence this place");
      const options = Array.from({ length: shape[0] }, (_, number) =>
        element("option", { value: number }, `channel ${number}${own.channels.includes(number) ? " (silent)" : ""}`),
      );
      channel.replaceChildren(element("option", { value: "", hidden: true }, "silence a channel"), ...options);
      channel.value = "";
      undo.hidden = silenced === null;
      say(said, whatIf ? `${silentOf(silenced)}: ${answerOf(sample, whatIf)}${shareOf(whatIf)}` : "");
    },
  };
}

// "conv2 without 3 places and channels 4, 7"
function silentOf({ layer, cells, channels }) {
  const places = cells.length > 0 ? [`${cells.length} place${cells.length > 1 ? "s" : ""}`] : [];
  const planes = channels.length > 0 ? [`channel${channels.length > 1 ? "s" : ""} ${channels.join(", ")}`] : [];
  return `${layer} without ${[...places, ...planes].join(" and ")}`;
}

// What becomes of the share of the recorded answer.
function shareOf({ classes, before, after }) {
  const answer = before.indexOf(Math.max(...before));
  return `; share of ${classes[answer]}: ${percent(before[answer])} → ${percent(after[answer])}`;
}
