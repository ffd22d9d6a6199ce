// Numbers of a run: rates and operations of its layers, and how well maps find the object.
import { changes, element, say } from "./dom.js";
import { stepOf } from "./heat.js";
import { paintLines } from "./paint.js";
import { spikesPerStep } from "./spikes.js";
import { joules, number, percent } from "./words.js";

// Returns { node, show(state, loaded) }.
export function makeTables(run) {
  const parts = [activity(run), energy(run), localisation(run)].filter((part) => part !== null);
  return {
    node: element("div", { class: "tables" }, ...parts.map((part) => part.node)),
    show: (state, loaded) => {
      for (const part of parts) part.show(state, loaded.recorded ?? loaded);
    },
  };
}

function activity(run) {
  const heads = ["layer", "spikes per neuron and step", "over time"];
  const rows = run.layers.map((layer, at) => {
    const canvas = element("canvas", { width: 240, height: 56, class: "spark", "aria-hidden": true });
    const rate = element("td");
    const node = element("tr", {}, element("th", { scope: "row" }, layer.name), rate, element("td", {}, canvas));
    return { layer, at, canvas, rate, node };
  });
  const most = Math.max(...run.layers.flatMap((layer) => layer.rates));
  const note = run.energy ? "" : " The network is not at hand: synaptic operations are not counted.";
  const changed = changes();
  return {
    node: table(
      "How often neurons fire",
      heads,
      rows.map((row) => row.node),
      `Lines: this sample; dashed: all samples. All layers on one scale, to ${percent(most)}.${note}`,
    ),
    show: (state, loaded) => {
      const step = state.view === "step" ? stepOf(run, state) : null;
      if (!changed(loaded, step, getComputedStyle(rows[0].rate).color)) return;
      const rates = rows.map(({ layer, at }) => {
        const neurons = layer.shape[0] * layer.shape[1] * layer.shape[2];
        return spikesPerStep(loaded.spikes[at]).map((spikes) => spikes / neurons);
      });
      const top = Math.max(most, ...rates.flat());
      rows.forEach(({ layer, canvas, rate }, at) => {
        const mean = rates[at].reduce((sum, value) => sum + value, 0) / rates[at].length;
        say(rate, `${percent(mean)} (mean ${percent(layer.rate)})`);
        const lines = [
          { values: layer.rates.slice(0, run.steps), dashed: true },
          { values: rates[at], dashed: false },
        ];
        paintLines(canvas, lines, top, { until: Math.min(layer.matter, run.steps), step });
      });
    },
  };
}

function energy(run) {
  if (!run.energy) return null;
  const sum = (of) => run.energy.rows.reduce((total, row) => total + row[of], 0);
  const total = {
    layer: "all",
    operations: sum("operations"),
    joules: sum("joules"),
    macs: sum("macs"),
    annJoules: sum("annJoules"),
  };
  const rows = [...run.energy.rows, total].map((row) => {
    const operations = element("td");
    const spent = element("td");
    const ann = [element("td", {}, number(row.macs)), element("td", {}, joules(row.annJoules))];
    const node = element("tr", {}, element("th", { scope: "row" }, row.layer), operations, spent, ...ann);
    return { row, operations, spent, node };
  });
  const heads = ["layer", "synaptic operations", "energy", "MACs of an ANN", "their energy"];
  const about = `A synaptic operation is a spike that is added at one synapse of the layer; in brackets, the mean of the samples of this page. The ANN has these layers, and sees one image. An input that is a current costs MACs. Energy is operations × prices, not measured. ${run.energy.source}.`;
  const changed = changes();
  return {
    node: table(
      "What it costs",
      heads,
      rows.map((row) => row.node),
      about,
    ),
    show: (_, loaded) => {
      if (!changed(loaded)) return;
      const layers = loaded.sample.energy;
      const all = (of) => Object.values(layers).reduce((total, layer) => total + layer[of], 0);
      for (const { row, operations, spent } of rows) {
        const own = row === total ? { operations: all("operations"), joules: all("joules") } : layers[row.layer];
        say(operations, `${number(own.operations)} (${number(row.operations)})`);
        say(spent, `${joules(own.joules)} (${joules(row.joules)})`);
      }
    },
  };
}

function localisation(run) {
  const scored = run.layers.filter((layer) => Object.keys(layer.scores).length > 0);
  if (scored.length === 0) return null;
  const measures = Object.keys(Object.values(scored[0].scores)[0]);
  const rows = scored.flatMap((layer) =>
    Object.entries(layer.scores).map(([method, means]) => {
      const cells = measures.map((measure) => ({ measure, node: element("td") }));
      const node = element(
        "tr",
        {},
        element("th", { scope: "row" }, layer.name),
        element("td", {}, method),
        ...cells.map((cell) => cell.node),
      );
      return { layer, method, means, cells, node };
    }),
  );
  const about = `Sums over the steps that matter, for γ = ${run.gamma}, computed when this page was made; the slider does not change them. 1 is best.`;
  const changed = changes();
  return {
    node: table(
      "Does the map find the object?",
      ["layer", "map", ...measures],
      rows.map((row) => row.node),
      about,
    ),
    show: (_, loaded) => {
      if (!changed(loaded)) return;
      for (const { layer, method, means, cells } of rows) {
        const own = loaded.sample.scores[layer.name]?.[method];
        for (const { measure, node } of cells) {
          say(node, `${own ? own[measure].toFixed(2) : "unknown"} (mean ${means[measure].toFixed(2)})`);
        }
      }
    },
  };
}

function table(title, heads, rows, note) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const body = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  return element(
    "section",
    {},
    element("h3", {}, title),
    element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": title }, body),
    element("p", { class: "quiet" }, note),
  );
}
