// The samples, to choose from; what each run answered is marked right or wrong.
import { element } from "./dom.js";
import { inflate } from "./inflate.js";
import { partner } from "./model.js";
import { pictureCanvas } from "./paint.js";
import { answerOf } from "./words.js";

// Returns { node, show(state) }.
export function makeGallery(runs, change) {
  const buttons = runs[0].samples.map((sample, position) => button(runs, sample, position, change));
  return {
    node: element("nav", { class: "gallery", "aria-label": "Samples" }, ...buttons),
    show: (state) => {
      buttons.forEach((each, position) => {
        each.setAttribute("aria-pressed", position === state.sample);
      });
    },
  };
}

function button(runs, sample, position, change) {
  const answers = runs.map((run) => {
    const at = partner(runs, run, position);
    return at === null ? null : element("span", { class: mark(run.samples[at]) }, answerOf(run.samples[at]));
  });
  const made = element(
    "button",
    { type: "button", "aria-pressed": false, onclick: () => change({ sample: position }) },
    element("bdi", { class: "name" }, sample.name),
    ...answers,
  );
  if (sample.picture) {
    inflate(sample.picture.pixels).then((pixels) => {
      const canvas = pictureCanvas({ shape: sample.picture.shape, pixels }, false);
      canvas.setAttribute("aria-hidden", "true");
      made.prepend(canvas);
    });
  }
  return made;
}

function mark(sample) {
  return sample.right === null ? "answer" : sample.right ? "answer right" : "answer wrong";
}
