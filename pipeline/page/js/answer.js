// The sample and its answer: the picture, the classes with their scores, what an edit changed, and undo.
import { backOf, colouredOf, crowdedOf, dimmedOf, eventsOf, pixelsOf } from "./back.js";
import { button, changes, element, named, say } from "./dom.js";
import { markOf } from "./gallery.js";
import { fit, paintHeat, paintObject } from "./paint.js";
import { answerOf, marginOf, scoreText, silencedText, verdictOf } from "./words.js";

const SHOWN = 5; // classes
const REFUSED =
  "Not simulated: in 64 bits, other spikes than those recorded come out. spikesam.edit does it in float32";
const CLOSE = "; a membrane comes so close to its threshold that float32 may decide otherwise";

// Returns { node, show(state, loaded) }.
export function makeAnswer(run, change, titled) {
  const canvas = element("canvas", { role: "img" });
  const verdict = element("strong");
  const [margin, crowded] = [element("p", { class: "quiet" }), element("p", { class: "quiet" })];
  const scores = element("ol", { class: "scores" });
  const silent = element("span", { role: "status" });
  const undo = button("undo", () => change({ undo: true }));
  const undoAll = button("undo all", () => change({ silenced: null }));
  const edit = element("p", { class: "note edit" }, silent, " ", undo, " ", undoAll);
  const changed = changes();
  return {
    node: element(
      "section",
      { class: "answer" },
      canvas,
      element("div", {}, titled ? element("h2", {}, named(run.name)) : null, verdict, margin, scores, edit, crowded),
    ),
    show: (state, loaded) => {
      const { sample, whatIf } = loaded;
      const shown = eventsOf(run, loaded, state) ?? colouredOf(loaded) ?? backOf(run, loaded, state);
      const pixels = pixelsOf(run, loaded, state);
      if (!changed(loaded, shown, state.object, pixels, state.opacity)) return;
      canvas.hidden = !shown && !pixels;
      if (pixels) {
        paintHeat(canvas, pixels, pixels.most, state.opacity, dimmedOf(loaded));
        paintObject(canvas, loaded, state.object);
      } else if (shown) {
        const context = fit(canvas, [shown.height, shown.width]);
        context.imageSmoothingEnabled = false;
        context.drawImage(shown, 0, 0, canvas.width, canvas.height);
        paintObject(canvas, loaded, state.object);
      }
      const seen = sample.picture ? `${sample.name} as the network saw it` : "spikes of the input";
      canvas.setAttribute("aria-label", pixels ? `relevance of the input's numbers in ${sample.name}` : seen);
      const before = answerOf(sample.scores, sample.predicted === null);
      const after = whatIf
        ? answerOf(
            whatIf.scores,
            whatIf.sums.every((sum) => sum === 0),
          )
        : before;
      verdict.className = markOf(whatIf ? { right: null } : sample);
      say(verdict, whatIf ? changeText(run, before, after) : verdictOf(sample));
      say(margin, marginOf(run, after));
      say(crowded, crowdedOf(run, loaded));
      scores.replaceChildren(...bars(run, before, after, whatIf));
      edit.hidden = !whatIf && !loaded.refused;
      if (edit.hidden) return;
      const layer = run.layers.find(({ name }) => name === state.silenced.layer);
      const everywhere = run.samples.length > 1 ? ", in every sample" : "";
      const said = `${silencedText(state.silenced, layer)}${everywhere}${whatIf?.close ? CLOSE : ""}`;
      say(silent, loaded.refused ? REFUSED : said);
      undoAll.hidden = state.silenced.before === null;
    },
  };
}

function changeText({ answers }, { best: [was] }, { best: [is] }) {
  if (answers.unit === "value") return "after your edit";
  const [before, after] = [was, is].map((which) => answers.classes[which] ?? "no answer");
  return was === is ? `still ${after} after your edit` : `${before} → ${after} after your edit`;
}

// A bar for each of the first classes, now or before; what an edit changed is said. Numbers that are no classes have no bar.
function bars(run, before, after, edited) {
  const { unit, most, classes } = run.answers;
  const numbers = unit === "value";
  const highest = (which) => Math.max(after.scores[which], before.scores[which]);
  const places = Array.from(after.scores.keys());
  const ranked = numbers ? places : places.sort((one, other) => highest(other) - highest(one));
  const whole = unit === "share" ? 1 : unit === "spikes" ? most : highest(ranked[0]);
  return ranked.slice(0, SHOWN).map((which) => {
    const [now, was] = [after, before].map(({ scores }) => scoreText(run, scores[which]));
    const bar = element("span", { class: "bar" });
    bar.style.width = `${whole > 0 ? Math.max(0, Math.min(100, (100 * after.scores[which]) / whole)) : 0}%`;
    const text = edited && now !== was ? `${now} (was ${was})` : now;
    return element("li", {}, numbers ? null : bar, element("bdi", {}, classes[which]), element("span", {}, text));
  });
}
