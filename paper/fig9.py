"""Fig. 9: accuracy against attack strength, and how far heatmaps move: the SNN is the more robust in both.

The paper attacks the ANN with FGSM and the SNN with SNN-crafted FGSM, plots accuracy against ε, and compares the
normalised L1 distance between clean and attacked heatmaps, Grad-CAM for the ANN and SAM for the SNN.

Both networks are measured here on one set of images, and beside it what a reader would object:

* A network whose gradient is useless looks robust to attacks by its own gradient. So each network is also shown the
  images attacked through the other, and the comparison is repeated with the worst of all attacks for each image.
* The networks do not start from one accuracy. So the fall is measured on the images that both get right when clean: per
  image, the share of the range of ε at which the answer stays right (the area under its curve).
* One step along the gradient is the weakest attack. So each network is also attacked in steps (PGD), whose loss is the
  mean over Poisson seeds that the answers do not use. The SNN's answers are means over seeds as well.
* Random signs of equal strength are the control: what an attack does beyond noise.
* SAM moves by itself, from Poisson seed to seed. The attack's shift is measured with one seed before and after; the
  shift between two seeds on the clean image stands beside it.
* Grad-CAM is one map, SAM one per step, sparse and noisy. So the distance is taken step by step and for the maps summed
  over steps, and also between maps that sum to 1, which does not reward sparseness (see :mod:`.common.shifts`). It is
  taken where few answers change (`paper.shift_epsilon`), and, iterated, where many do (`paper.strong_epsilon`).

The SNN is attacked through its float32 network, in one step knowing the first seed; it answers in fixed point.
"""

from __future__ import annotations

import pandas as pd

from paper.common.attacked import Through, attacked, strengths
from paper.common.result import Result
from paper.common.robustness import OWN, accuracy_claims, accuracy_table, answers, draw_accuracy, note_on_gradients
from paper.common.setup import Setup
from paper.common.shifts import SHARE_OF_SUM, SHIFT, draw_shifts, heatmap_shifts, note_on_noise, shift_claims
from paper.measures.tables import summary, values


def run(setup: Setup) -> Result:
    """Attack, measure and draw."""
    settings = setup.settings
    epsilons, epsilon, strong, seed = strengths(setup), settings.shift_epsilon, settings.strong_epsilon, settings.seed
    right, shifts = answers(setup, epsilons), heatmap_shifts(setup)
    accuracies, moved = accuracy_table(right, seed), summary(shifts, seed)
    draw_accuracy(setup, accuracies)
    draw_shifts(setup, moved)
    ann, snn = (values(right, network=name, change=OWN[name], epsilon=0).mean() for name in ("ANN", "SNN"))
    notes = (
        *(note_on_noise(moved, measure, each) for each in (epsilon, strong) for measure in (SHIFT, SHARE_OF_SUM)),
        note_on_gradients(accuracies),
        f"The clean accuracy is {ann:.0%} (ANN) and {snn:.0%} (SNN). The fall is compared on the images that both "
        "networks get right when clean. The share of the range of ε survived is the area under the curve of right "
        "answers. The table has all images at every ε.",
        f"Pixels changed at ε = {epsilon:g}: {share_changed(setup, 'ann'):.0%} through the ANN, "
        f"{share_changed(setup, 'snn'):.0%} through the SNN. Where an input saturates there is no gradient.",
    )
    claims = [
        *accuracy_claims(right, seed),
        *shift_claims(shifts, epsilon, seed),
        *shift_claims(shifts, strong, seed, iterated=True),
    ]
    table = pd.concat([accuracies, moved])
    return Result("Fig. 9: accuracy and heatmaps under attack", table, claims, notes, pd.concat([right, shifts]))


def share_changed(setup: Setup, through: Through) -> float:
    """Share of the pixels that an attack changes."""
    return float((attacked(setup, through, setup.settings.shift_epsilon).pixels != setup.images.pixels).mean())
