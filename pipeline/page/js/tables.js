// What is folded below the maps: numbers of a run, and what it is.
import { changes, element, named, say } from "./dom.js";
import { joules, number, percent, seconds } from "./words.js";

// Returns { node, show(state, loaded) }.
export function makeTables(run, titled) {
  const all = [rates(run), energy(run), chip(run), localisation(run), facts(run)];
  const parts = all.filter((part) => part !== null);
  const title = titled ? element("h2", {}, named(run.name)) : null;
  return {
    node: element("div", { class: "tables" }, title, ...parts.map((part) => part.node)),
    show: (_, loaded) => {
      for (const part of parts) part.show(loaded.recorded ?? loaded);
    },
  };
}

function rates(run) {
  const rows = run.layers.map((layer) => ({ layer, cells: [element("td"), element("td", {}, percent(layer.rate))] }));
  const heads = ["layer", "spikes per neuron and step", "mean of all samples"];
  return table("How often neurons fire", heads, rows, "", (loaded) => {
    rows.forEach(({ cells }, at) => {
      const { neuron, neurons } = loaded.spikes[at];
      say(cells[0], percent(neuron.length / (neurons * run.rated)));
    });
  });
}

function energy(run) {
  if (!run.energy) return null;
  const fields = ["operations", "joules", "macs", "annJoules"];
  const sum = (field) => run.energy.rows.reduce((total, row) => total + row[field], 0);
  const total = { name: "all", ...Object.fromEntries(fields.map((field) => [field, sum(field)])) };
  const rows = [...run.energy.rows.map((row) => ({ ...row, name: row.layer })), total].map((row) => ({
    layer: row,
    cells: [
      element("td"),
      element("td"),
      element("td", {}, number(row.macs)),
      element("td", {}, joules(row.annJoules)),
    ],
  }));
  const heads = ["layer", "synaptic operations", "energy", "MACs of an ANN", "their energy"];
  const how = run.energy.counted || "An input that is a current costs MACs.";
  const note = `A synaptic operation is a spike that is added at one synapse of the layer; in brackets, the mean of the samples of this page. The ANN has these layers, and sees one image. ${how} Energy is operations × prices, not measured. ${run.energy.source}.`;
  return table("What it costs", heads, rows, note, ({ sample }) => {
    const all = (field) => Object.values(sample.energy).reduce((found, layer) => found + layer[field], 0);
    for (const { layer, cells } of rows) {
      const own =
        layer === total ? { operations: all("operations"), joules: all("joules") } : sample.energy[layer.name];
      say(cells[0], `${number(own.operations)} (${number(layer.operations)})`);
      say(cells[1], `${joules(own.joules)} (${joules(layer.joules)})`);
    }
  });
}

// The rows of a run on the model of a chip, and one for all: [name, cores, J of synapses, neurons, messages and all, slowest core].
export function chipRows(chip) {
  const parts = ["synapse", "soma", "network"];
  const sum = (numbers) => numbers.reduce((total, value) => total + value, 0);
  const energies = (rows) => {
    const byPart = parts.map((part) => sum(rows.map((row) => row[part])));
    return [...byPart, sum(byPart)].map(joules);
  };
  const slowest = (row) => `core ${row.busiest}, ${seconds(row.busy)}`;
  const busiest = chip.rows.reduce((most, row) => (row.busy > most.busy ? row : most));
  const rows = chip.rows.map((row) => [row.layer, `${row.cores}`, ...energies([row]), slowest(row)]);
  return [...rows, ["all", `${chip.cores}`, ...energies(chip.rows), slowest(busiest)]];
}

// What stands below them.
export function chipNote(chip) {
  const { name, version, samples, bits, compared, stepSeconds } = chip;
  const takes = `A sample takes ${seconds(chip.seconds)} and ${joules(chip.joules)}, a step ${seconds(stepSeconds)}`;
  const differ = `${bits} of ${compared} bits differ from the recording`;
  return `A model of ${name} (SANA-FE ${version}), not silicon. ${takes}: means of ${samples} sample${samples === 1 ? "" : "s"}. Synapses count for the layer that they drive, messages for the layer that fires. A core is busy for so long in a step. ${differ}.`;
}

function chip(run) {
  if (!run.chip) return null;
  const rows = chipRows(run.chip).map(([name, ...texts]) => ({
    layer: { name },
    cells: texts.map((text) => element("td", {}, text)),
  }));
  const heads = ["layer", "cores", "synapses", "neurons", "messages", "energy", "slowest core"];
  const title = `What it takes on a model of ${run.chip.name}`;
  const whole = table(title, heads, rows, chipNote(run.chip), () => {});
  const alt = `The cores of a model of ${run.chip.name}: how long each works in a step, and how many messages reach it.`;
  whole.node.append(element("img", { class: "graph", src: run.chip.mesh, alt }));
  return whole;
}

function localisation(run) {
  const scored = run.layers.filter((layer) => Object.keys(layer.localisation).length > 0);
  if (scored.length === 0) return null;
  const measures = Object.keys(Object.values(scored[0].localisation)[0]);
  const rows = scored.flatMap((layer) =>
    Object.entries(layer.localisation).map(([method, means]) => {
      const cells = [element("td", {}, method), ...measures.map(() => element("td"))];
      return { layer, method, means, cells };
    }),
  );
  const note = `Sums over the steps that matter, for γ = ${run.gamma}, computed when this page was made. 1 is best.`;
  return table("Does the map find the object?", ["layer", "map", ...measures], rows, note, ({ sample }) => {
    for (const { layer, method, means, cells } of rows) {
      const own = sample.localisation[layer.name]?.[method];
      measures.forEach((measure, at) => {
        say(cells[at + 1], `${own ? own[measure].toFixed(2) : "unknown"} (mean ${means[measure].toFixed(2)})`);
      });
    }
  });
}

// What the run is, and a picture of its network.
function facts(run) {
  const terms = run.facts.flatMap(([term, fact]) => [
    element("dt", {}, term),
    element("dd", {}, element("bdi", {}, fact)),
  ]);
  const alt = "The network: a box for every layer, an arrow for everything that is read, with how often it fires.";
  const graph = run.graph ? element("img", { class: "graph", src: run.graph, alt }) : null;
  return { node: folded("The run, and its network", element("dl", {}, ...terms), graph), show: () => {} };
}

function folded(title, ...content) {
  return element("details", {}, element("summary", {}, title), ...content);
}

// rows: [{ layer: { name }, cells }]; fill(loaded) says what the cells of a sample are.
function table(title, heads, rows, note, fill) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map(({ layer, cells }) =>
    element("tr", {}, element("th", { scope: "row" }, named(layer.name)), ...cells),
  );
  const whole = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  const wide = element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": title }, whole);
  const changed = changes();
  return {
    node: folded(title, wide, note ? element("p", { class: "quiet" }, note) : null),
    show: (loaded) => {
      if (changed(loaded)) fill(loaded);
    },
  };
}
