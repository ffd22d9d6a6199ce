// SAM and the state, by numbers worked by hand. pytest runs them where node is (test_scripts.py), with those of Python.
import assert from "node:assert/strict";
import { test } from "node:test";
import { blocksOf } from "../../../../pipeline/page/js/blocks.js";
import { cover, VIRIDIS } from "../../../../pipeline/page/js/colours.js";
import { changeTo, valuesOf } from "../../../../pipeline/page/js/host.js";
import { mapOfStep, scoreOverTime, sumOfMaps } from "../../../../pipeline/page/js/sam.js";
import { decodeSpikes, fires, spikesPerStep } from "../../../../pipeline/page/js/spikes.js";
import { cellAt, changeOfKey, initialState, nextState } from "../../../../pipeline/page/js/state.js";
import { chipNote, chipRows } from "../../../../pipeline/page/js/tables.js";
import { answerOf, joules, marginOf, seconds, verdictOf } from "../../../../pipeline/page/js/words.js";

// Two channels of one row with two pixels, 3 steps. Neurons: channel 0 left fires at 0 and 1, channel 1 right at 1.
const SPIKES = decodeSpikes(Uint8Array.of(0b11000000, 0, 0, 0b01000000), [2, 1, 2], 3);
const ABOUT = {
  samples: 3,
  wrong: [true, false, true],
  steps: 16,
  busiest: 8,
  events: false,
  gamma: 0.5,
  kinds: ["sam", "count"],
  hasPicture: true,
  hasInput: true,
  hasBox: true,
  hasMask: true,
};

function near(found, expected) {
  assert.equal(found.length, expected.length);
  for (const [at, value] of expected.entries()) assert.ok(Math.abs(found[at] - value) < 1e-12, `${found} ${expected}`);
}

test("spikes are unpacked in order of time, with the steps since the one before", () => {
  assert.deepEqual([...SPIKES.first], [0, 1, 3, 3]);
  assert.deepEqual([...SPIKES.neuron], [0, 0, 3]);
  assert.deepEqual([...SPIKES.pixel], [0, 0, 1]);
  assert.deepEqual([...SPIKES.gap], [0, 1, 0]);
  assert.deepEqual(spikesPerStep(SPIKES), [1, 2, 0]);
  assert.equal(fires(SPIKES, 3, 1), 1);
  assert.equal(fires(SPIKES, 3, 0), 0);
});

test("a second spike counts itself and what is left of the first", () => {
  const second = 1 + Math.exp(-0.5);
  near(sumOfMaps(SPIKES, 0.5, 3).map, [1 + second, 1]);
  near(mapOfStep(SPIKES, 0.5, 0, 3).map, [1, 0]);
  near(mapOfStep(SPIKES, 0.5, 1, 3).map, [second, 1]);
  near(mapOfStep(SPIKES, 0.5, 2, 3).map, [0, 0]);
  assert.equal(mapOfStep(SPIKES, 0.5, 0, 3).most, second); // of all steps
  assert.equal(mapOfStep(SPIKES, 0.5, 0, 1).most, 1); // of those that matter
  near(scoreOverTime(SPIKES, 0.5, 0), [1, second, 0]);
  near(scoreOverTime(SPIKES, 0.5, 1), [0, 1, 0]);
});

test("an infinite gamma counts spikes, none at all counts every earlier spike", () => {
  near(sumOfMaps(SPIKES, Number.POSITIVE_INFINITY, 3).map, [2, 1]);
  near(sumOfMaps(SPIKES, 0, 3).map, [3, 1]);
});

test("values of the state stay within their limits, whatever is asked for", () => {
  const state = initialState(ABOUT);
  assert.equal(state.view, "sum");
  assert.equal(state.kind, "sam");
  assert.equal(nextState({ ...state, beside: "count" }, { kind: "count" }, ABOUT).beside, "");
  assert.equal(nextState(state, { gamma: 99 }, ABOUT).gamma, 3);
  assert.equal(nextState(state, { gamma: Number.NaN }, ABOUT).gamma, 0);
  assert.equal(nextState(state, { step: 99 }, ABOUT).step, 15);
  assert.equal(nextState(state, { sample: -1 }, ABOUT).sample, 2);
  assert.equal(nextState({ ...state, step: 15 }, { tick: true }, ABOUT).step, 0);
  assert.equal(nextState(state, { playing: true }, ABOUT).view, "step");
  assert.equal(nextState({ ...state, playing: true }, { view: "sum" }, ABOUT).playing, false);
  assert.deepEqual(state, initialState(ABOUT)); // and no state is changed itself
});

test("only samples with a wrong answer are gone to, in both directions and past the ends", () => {
  const go = (state, change) => nextState(state, change, ABOUT);
  const first = go({ ...initialState(ABOUT), sample: 1 }, { onlyWrong: true });
  assert.equal(first.sample, 2);
  assert.equal(go(first, { sample: 3 }).sample, 0);
  assert.equal(go(first, { sample: 1 }).sample, 0);
  assert.equal(go(first, { gamma: 1 }).sample, 2);
  assert.equal(go(go(first, { onlyWrong: false }), { sample: 1 }).sample, 1);
  const none = { ...ABOUT, wrong: [false, false, false] };
  assert.equal(nextState(initialState(none), { onlyWrong: true }, none).sample, 0);
});

test("edits follow each other, what is drawn is one, and each is undone", () => {
  const edited = (state, silence) => nextState(state, { silence }, ABOUT);
  const first = edited(initialState(ABOUT), { layer: "conv1", cell: 7 });
  const second = edited(first, { layer: "conv2", channel: 1 }); // another layer, in place of the first
  assert.deepEqual([second.silenced.layer, second.silenced.cells, second.silenced.channels], ["conv2", [], [1]]);
  const drawn = [3, 4].reduce(
    (state, cell) => edited(state, { layer: "conv2", cell, silent: true, more: cell > 3 }),
    second,
  );
  assert.deepEqual([drawn.silenced.cells, drawn.silenced.channels], [[3, 4], [1]]);
  const undone = nextState(drawn, { undo: true }, ABOUT);
  assert.equal(undone.silenced, second.silenced);
  assert.equal(nextState(undone, { undo: true }, ABOUT).silenced, first.silenced);
  assert.equal(edited(first, { layer: "conv1", cell: 7 }).silenced, null); // the same once more
  assert.equal(nextState(first, { undo: true }, ABOUT).silenced, null);
});

test("answers are told with what is next, ties and silence", () => {
  const run = (unit) => ({ answers: { unit, most: 12, classes: ["cat", "dog", "fox"] } });
  const said = (unit, scores) => marginOf(run(unit), answerOf(scores, !scores.some((score) => score)));
  assert.equal(said("spikes", [3, 5, 0]), "5 of 12 spikes, next cat: 3");
  assert.equal(said("spikes", [5, 5, 0]), "5 of 12 spikes, tied with dog");
  assert.equal(said("spikes", [0, 0, 0]), "nothing reached the answer");
  assert.equal(said("share", [0.62, 0.24, 0.14]), "62 %, next dog: 24 %");
  assert.equal(said("score", [-1, 2.5, 0]), "score 2.50, next fox: 0");
  assert.equal(verdictOf({ predicted: null, label: "cat", right: null, scores: [0, 0] }), "no answer ✗, is cat");
  assert.equal(verdictOf({ predicted: null, label: "cat", right: null, scores: [] }), "is cat");
  assert.equal(verdictOf({ predicted: null, label: null, right: null, scores: [1, 2], values: true }), "");
  assert.equal(said("value", [1, 2]), "");
  assert.equal(verdictOf({ predicted: "dog", label: "cat", right: false, scores: [0, 1] }), "dog ✗, is cat");
});

test("keys ask for changes", () => {
  const state = initialState(ABOUT);
  assert.deepEqual(changeOfKey("n", state), { sample: 1 });
  assert.deepEqual(changeOfKey("s", state), { view: "step" });
  assert.deepEqual(changeOfKey(" ", state), { playing: true });
  assert.deepEqual(changeOfKey("c", state), { target: "other" });
  assert.deepEqual(changeOfKey("u", state), { undo: true });
  assert.equal(changeOfKey("x", state), null);
});

test("a share of a side lies in a cell, the end in the last one", () => {
  assert.equal(cellAt(0.5, 5), 2);
  assert.equal(cellAt(1, 5), 4);
  assert.equal(cellAt(-0.1, 5), 0);
});

test("colours grow brighter, and opacity covers", () => {
  assert.deepEqual([...VIRIDIS.slice(0, 3)], [0x44, 0x01, 0x54]);
  assert.deepEqual([...VIRIDIS.slice(-3)], [0xfd, 0xe7, 0x25]);
  assert.equal(cover(0, 1), 1);
  assert.equal(cover(1, 0), 0);
  assert.equal(cover(0.25, 0.5), 0.25);
});

test("joules are told with the unit that fits", () => {
  assert.deepEqual([0, 3e-13, 4.19e-9, 59.2e-6, 0.481e-3, 1.2].map(joules), [
    "0",
    "0.30 pJ",
    "4.19 nJ",
    "59.2 µJ",
    "481 µJ",
    "1.20 J",
  ]);
});

test("many layers are in the innermost module that has a number, else in the outermost, or together with those of their size", () => {
  const layersOf = (names, shape = [8, 4, 4]) => names.map((name) => ({ name, shape, band: shape[1] === 1 }));
  const residual = [1, 2, 3, 4].flatMap((stage) =>
    [0, 1].flatMap((block) => ["sn1", "sn2", "downsample_sn"].map((name) => `net_layer${stage}_${block}_${name}`)),
  );
  assert.deepEqual(blocksOf(layersOf(residual.slice(0, 19))), []); // few
  const [first, second, ...others] = blocksOf(layersOf(["net_sn1", ...residual]));
  assert.deepEqual(first, { name: "net", layers: [0] });
  assert.deepEqual(second, { name: "net_layer1_0", layers: [1, 2, 3] });
  assert.equal(others.length, 7);
  const flat = [...layersOf(Array(18).fill("net1_lif")), ...layersOf(["net1_a", "net1_b"], [10, 1, 1])];
  const sizes = blocksOf(flat).map(({ name, layers }) => [name, layers.length]);
  assert.deepEqual(sizes, [
    ["maps of 4 × 4", 18],
    ["neurons", 2],
  ]);
});

test("modules without numbers are blocks, too, and modules of one layer each are not", () => {
  const blocksOfNames = (names) =>
    blocksOf(names.map((name) => ({ name, shape: [8, 4, 4], band: false }))).map(({ name, layers }) => [
      name,
      layers.length,
    ]);
  const numbers = Array.from({ length: 12 }, (_, number) => number);
  const autoencoder = ["encoder", "decoder"].flatMap((part) => numbers.map((number) => `${part}_${number}`));
  assert.deepEqual(blocksOfNames(["lif", ...autoencoder]), [
    ["maps of 4 × 4", 1],
    ["encoder", 12],
    ["decoder", 12],
  ]);
  const alone = [...numbers, ...numbers].map((_, number) => `block${number}_lif`);
  assert.deepEqual(blocksOfNames(alone), [["maps of 4 × 4", 24]]);
});

test("a block opens and closes, and a layer is enlarged until it is named again", () => {
  const open = nextState(initialState(ABOUT), { fold: "0 3" }, ABOUT);
  assert.deepEqual(open.open, ["0 3"]);
  assert.deepEqual(nextState(open, { fold: "0 3" }, ABOUT).open, []);
  const large = nextState(open, { large: { run: 0, layer: "a" } }, ABOUT);
  assert.equal(nextState(large, { large: { run: 0, layer: "b" } }, ABOUT).large.layer, "b");
  assert.equal(nextState(large, { large: { run: 0, layer: "a" } }, ABOUT).large, null);
  assert.equal(nextState(large, { gamma: 1 }, ABOUT).large.layer, "a");
});

test("a notebook hears of the first run alone, and what it sets is the first run's", () => {
  const first = { layers: [{ name: "conv1", shape: [2, 2, 4] }] };
  const state = { ...initialState(ABOUT), view: "sum" };
  const nothing = { layer: null, place: null, step: null, edit: null };
  const silenced = { cells: [5], channels: [], before: null };
  const inSecond = {
    ...state,
    pixel: { run: 1, layer: "other", x: 0.5, y: 0.5 },
    large: { run: 1, layer: "conv1" },
    silenced: { layer: "other", ...silenced },
  };
  assert.deepEqual(valuesOf(first, inSecond), nothing);
  // Three quarters to the right of four columns is column 3, the lower half of two rows is row 1; cell 5 is row 1, column 1.
  const inFirst = {
    ...state,
    pixel: { run: 0, layer: "conv1", x: 0.75, y: 0.5 },
    silenced: { layer: "conv1", ...silenced },
  };
  const edit = { layer: "conv1", places: [[1, 1]], channels: [] };
  assert.deepEqual(valuesOf(first, inFirst), { layer: "conv1", place: [1, 3], step: null, edit });
  // The layer of that name is enlarged in the second run: the first run's still has to be.
  assert.deepEqual(changeTo(first, inSecond, { layer: "conv1" }), { pixel: null, large: { run: 0, layer: "conv1" } });
  assert.deepEqual(changeTo(first, inSecond, {}), {});
});

test("a run on the model of a chip has a row for each layer and one for all, and is said to be a model", () => {
  const rows = [
    { layer: "conv1", cores: 2, synapse: 2e-6, soma: 4e-7, network: 0, busiest: 3, busy: 1.5e-6 },
    { layer: "fc1", cores: 1, synapse: 1e-6, soma: 1e-7, network: 5e-7, busiest: 3, busy: 2e-6 },
  ];
  const [, fc1, all] = chipRows({ cores: 2, rows });
  assert.deepEqual(fc1, ["fc1", "1", "1.00 µJ", "100 nJ", "500 nJ", "1.60 µJ", "core 3, 2 µs"]);
  assert.deepEqual(all, ["all", "2", "3.00 µJ", "500 nJ", "500 nJ", "4.00 µJ", "core 3, 2 µs"]);
  const whole = { name: "Loihi", version: "2.2.9", samples: 1, bits: 0, compared: 10, joules: 4e-6, seconds: 1.96e-4 };
  const note = chipNote({ ...whole, stepSeconds: 4e-6 });
  assert.match(
    note,
    /^A model of Loihi \(SANA-FE 2.2.9\), not silicon\. A sample takes 196 µs and 4.00 µJ, a step 4 µs/,
  );
  assert.match(note, /means of 1 sample\..* 0 of 10 bits differ from the recording\.$/);
});

test("seconds have three digits", () => {
  assert.deepEqual([0, 4.2e-9, 0.0123, 2].map(seconds), ["0", "4.2 ns", "12.3 ms", "2 s"]);
});
