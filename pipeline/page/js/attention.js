// Which token attends to which, of the spikes of queries and keys alone: pipeline/maps/methods/attention.py.
//     A[n, m] = Σ_t Σ_c q[t + later, c, n] · k[t, c, m]          c are the channels of one head, or of all
import { largest } from "./sam.js";
import { fires } from "./spikes.js";

// pair: { query, key, later, heads }, positions of layers, which are one where it has the channels of q, k and v. Whom `token`
// attends to, or all together where it is null; by one head or all, at one step or those before `until`.
export function attendedTo(layers, { query, key, later, heads }, { token, head = null, step = null, until }) {
  const [q, k] = [layers[query], layers[key]];
  const channels = q.shape[0] / (query === key ? 3 : 1);
  const behind = query === key ? channels : 0;
  const [first, last] = head === null ? [0, channels] : [head, head + 1].map((each) => (each * channels) / heads);
  const map = new Float64Array(k.pixels);
  for (let t = step ?? 0; t < (step === null ? until : step + 1); t++) {
    if (t + later < 0 || t + later >= q.steps) continue;
    for (let channel = first; channel < last; channel++) {
      let asking = 0;
      for (let n = token ?? 0; n < (token === null ? q.pixels : token + 1); n++) {
        asking += fires(q, channel * q.pixels + n, t + later);
      }
      if (asking === 0) continue;
      for (let m = 0; m < k.pixels; m++) map[m] += asking * fires(k, (behind + channel) * k.pixels + m, t);
    }
  }
  return { map, most: largest(map) };
}
