// Numbers and names as people read them.

const LIKELIEST = 3; // classes whose shares are shown

export function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6) return `${(value / 1e6).toFixed(size >= 1e8 ? 0 : 1)} M`;
  if (size >= 1e4) return `${(value / 1e3).toFixed(size >= 1e5 ? 0 : 1)} k`;
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  return size >= 0.01 ? value.toFixed(2) : value.toExponential(0);
}

export function joules(value) {
  if (value === 0) return "0";
  const power = Math.min(0, Math.max(-4, Math.floor(Math.log10(value) / 3)));
  const scaled = value / 1000 ** power;
  const digits = Math.min(2, Math.max(0, 2 - Math.floor(Math.log10(scaled))));
  return `${scaled.toFixed(digits)} ${["pJ", "nJ", "µJ", "mJ", "J"][power + 4]}`;
}

export function percent(share) {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}

export function shapeOf(layer) {
  const [channels, height, width] = layer.shape;
  return layer.kind === "dense" || height * width === 1 ? `${channels} neurons` : `${channels} × ${height} × ${width}`;
}

export function isSpatial(layer) {
  return layer.kind !== "dense" && layer.shape[1] * layer.shape[2] > 1;
}

// "1 ✓", "4 ✗, is 9", "4", "is 9"; what is right and what is wrong is said by a mark, not by a colour alone.
export function answerOf(sample, whatIf) {
  if (whatIf) {
    const [before, after] = [whatIf.before, whatIf.after].map((shares) => shares.indexOf(Math.max(...shares)));
    const same = `still ${whatIf.classes[after]}`;
    return before === after ? same : `${whatIf.classes[before]} → ${whatIf.classes[after]}`;
  }
  if (sample.predicted === null) return sample.label === null ? "" : `is ${sample.label}`;
  if (sample.right === null) return sample.predicted;
  return sample.right ? `${sample.predicted} ✓` : `${sample.predicted} ✗, is ${sample.label}`;
}

// [class, share] of the likeliest classes; where spikes are silenced [class, share then, share before].
export function sharesOfSample({ sample, whatIf }) {
  if (!whatIf) return sample.shares;
  const { classes, before, after } = whatIf;
  const most = (which) => Math.max(before[which], after[which]);
  const ranked = classes.map((_, which) => which).sort((one, other) => most(other) - most(one));
  return ranked.slice(0, LIKELIEST).map((which) => [classes[which], after[which], before[which]]);
}
