// The samples, to choose from; what each run answered is marked right or wrong.
import { button, element } from "./dom.js";
import { inflate } from "./inflate.js";
import { partner } from "./model.js";
import { pictureCanvas } from "./paint.js";
import { verdictOf } from "./words.js";

const FEW = 4; // samples, among which wrong ones are seen at once

// Returns { node, show(state) }; `wrong` says of each sample whether an answer to it is wrong.
export function makeGallery(runs, wrong, change) {
  const buttons = runs[0].samples.map((sample, position) => entry(runs, sample, position, change));
  const box = element("input", { type: "checkbox", name: "wrong", onchange: () => change({ onlyWrong: box.checked }) });
  const count = wrong.filter(Boolean).length;
  const text = ` only wrong answers (${count} of ${wrong.length})`;
  const useful = count > 0 && count < wrong.length && wrong.length > FEW;
  const filter = useful ? element("label", { class: "quiet" }, box, text) : null;
  return {
    node: element(
      "div",
      { class: "samples" },
      filter,
      element("nav", { class: "gallery", "aria-label": "Samples" }, ...buttons),
    ),
    show: (state) => {
      box.checked = state.onlyWrong;
      buttons.forEach((sampleButton, position) => {
        sampleButton.hidden = state.onlyWrong && !wrong[position];
        sampleButton.setAttribute("aria-pressed", position === state.sample);
      });
    },
  };
}

function entry(runs, sample, position, change) {
  const answers = runs.map((run) => {
    const at = partner(runs, run, position);
    const verdict = at === null ? "" : verdictOf(run.samples[at]);
    return verdict && element("span", { class: markOf(run.samples[at]) }, verdict);
  });
  const said = answers.some((answer) => answer) ? answers.filter((answer) => answer) : [sample.name];
  const onclick = () => change({ sample: position });
  const made = button("", onclick, { title: sample.name, "aria-pressed": false });
  made.append(...said);
  if (sample.picture) {
    inflate(sample.picture.pixels).then((pixels) => {
      const canvas = pictureCanvas({ shape: sample.picture.shape, pixels }, false);
      canvas.setAttribute("aria-hidden", "true");
      made.prepend(canvas);
    });
  }
  return made;
}

export function markOf(sample) {
  return sample.right === null ? "verdict" : sample.right ? "verdict right" : "verdict wrong";
}
