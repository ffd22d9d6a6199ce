// Numbers and names as people read them.

export function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e4) return `${value}`;
  if (size >= 1e6) return `${(value / 1e6).toFixed(size >= 1e8 ? 0 : 1)} M`;
  if (size >= 1e4) return `${(value / 1e3).toFixed(size >= 1e5 ? 0 : 1)} k`;
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  if (size >= 0.01) return value.toFixed(2);
  return size >= 1e-4 ? `${Number(value.toPrecision(2))}` : value.toExponential(0);
}

export function joules(value) {
  if (value === 0) return "0";
  const power = Math.min(0, Math.max(-4, Math.floor(Math.log10(value) / 3)));
  const scaled = value / 1000 ** power;
  const digits = Math.min(2, Math.max(0, 2 - Math.floor(Math.log10(scaled))));
  return `${scaled.toFixed(digits)} ${["pJ", "nJ", "µJ", "mJ", "J"][power + 4]}`;
}

// "196 µs"
export function seconds(value) {
  if (value === 0) return "0";
  const power = Math.min(0, Math.max(-3, Math.floor(Math.log10(value) / 3)));
  return `${Number((value / 1000 ** power).toPrecision(3))} ${["ns", "µs", "ms", "s"][power + 3]}`;
}

export function percent(share) {
  return `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}

export function shapeOf(layer) {
  const [channels, height, width] = layer.shape;
  return layer.band ? `${channels * height * width} neurons × steps` : `${channels} × ${height} × ${width}`;
}

// What a network answered to a sample: { scores, of every class; best, the classes from the highest on; tied with the first }.
// Scores are shares, counts of spikes, or what the model gave: run.answers.unit says it. Of a `silent` network there is no best.
export function answerOf(scores, silent) {
  const best = silent ? [] : Array.from(scores.keys()).sort((one, other) => scores[other] - scores[one]);
  return { scores, best, tied: best.filter((which) => which !== best[0] && scores[which] === scores[best[0]]) };
}

// "8 ✓", "4 ✗, is 9", "4", "is 9"; what is right and what is wrong is said by a mark, not by a colour alone.
export function verdictOf({ label, predicted, right, scores, values }) {
  const said = predicted ?? (scores.length > 1 && !values ? "no answer" : null);
  if (said === null) return label === null ? "" : `is ${label}`;
  if (right) return `${said} ✓`;
  return right === false || (predicted === null && label !== null) ? `${said} ✗, is ${label}` : said;
}

// "5 of 12 spikes, next cat: 3", "62 %, next cat: 24 %", "score 2.1, next cat: 1.7"; of numbers that are no classes nothing.
export function marginOf(run, { scores, best, tied }) {
  const { unit, most, classes } = run.answers;
  if (unit === "value") return "";
  if (best.length === 0) return scores.length > 0 ? "nothing reached the answer" : "";
  const own = scoreText(run, scores[best[0]]);
  const first = unit === "spikes" ? `${own} of ${most} spikes` : unit === "score" ? `score ${own}` : own;
  if (tied.length > 0) return `${first}, tied with ${tied.map((which) => classes[which]).join(", ")}`;
  return best.length > 1 ? `${first}, next ${classes[best[1]]}: ${scoreText(run, scores[best[1]])}` : first;
}

export function scoreText(run, score) {
  return run.answers.unit === "share" ? percent(score) : number(score);
}

// "row 3, column 6", or of a band "neuron 17"
export function placeText({ band, shape }, cell) {
  const width = shape[2];
  return band ? `neuron ${cell}` : `row ${Math.floor(cell / width)}, column ${cell % width}`;
}

// "conv2, row 3, column 6 silenced", "conv2: 3 places and channels 4, 7 silenced"
export function silencedText({ cells, channels }, layer) {
  if (cells.length === 1 && channels.length === 0) return `${layer.name}, ${placeText(layer, cells[0])} silenced`;
  const thing = layer.band ? "neuron" : "place";
  const places = cells.length > 0 ? [`${cells.length} ${thing}${cells.length > 1 ? "s" : ""}`] : [];
  const planes = channels.length > 0 ? [`channel${channels.length > 1 ? "s" : ""} ${channels.join(", ")}`] : [];
  return `${layer.name}: ${[...places, ...planes].join(" and ")} silenced`;
}
