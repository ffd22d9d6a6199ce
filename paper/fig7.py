"""Fig. 7: maps before and after an attack: the ANN's Grad-CAM changes, the SNN's SAM hardly does.

The paper shows images with the Grad-CAM of the ANN and the SAM of the SNN, clean and after FGSM through the network
that is looked at (the strength is lost from its text). Here the attack is iterated (PGD) and as strong as
`paper.strong_epsilon`, where answers change: that a map stays under an attack that changes nothing says little.

Drawn here for `paper.shown` images, clean and attacked: Grad-CAM of the ANN twin for the true class, and SAM at the
SNN's last convolution, which has the size of Grad-CAM, step by step, encoded with one seed before and after. What the
picture claims is measured over all images, by the normalised L1 distance between such maps; fig9 adds the other layers,
the controls and the noise floor.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from numpy.typing import NDArray

from paper.common.ann import ann_predictions, reference_maps
from paper.common.attacked import attacked
from paper.common.claims import compared
from paper.common.heatmaps import at_steps, convolutions, row_of_maps, sam_maps
from paper.common.images import ImageSet
from paper.common.result import Result
from paper.common.setup import Setup
from paper.common.shifts import SHIFT, grad_cam_shifts, sam_shifts
from paper.measures.maps import min_max
from paper.measures.tables import rows, summary
from spikesam.pipeline.drawing.grid import Row, draw_maps
from spikesam.pipeline.drawing.samples import thinned
from spikesam.recordings.raster.reader import RasterReader


def run(setup: Setup) -> Result:
    """Attack, measure and draw."""
    epsilon, seed, network = setup.settings.strong_epsilon, setup.settings.seed, setup.networks.surrogate.network
    clean = setup.images
    for_ann, for_snn = attacked(setup, "ann-iterated", epsilon), attacked(setup, "snn-iterated", epsilon)
    with (
        RasterReader(setup.recording(network, clean)) as before,
        RasterReader(setup.recording(network, for_snn)) as after,
    ):
        layer = convolutions(before)[-1]
        grad_cam = rows(grad_cam_shifts(reference_maps(setup, clean), reference_maps(setup, for_ann)), measure=SHIFT)
        sam = rows(sam_shifts(setup, before, after, layer), measure=SHIFT)
        shown = {
            "clean": rows_of(setup, "clean", clean, clean, before, layer),
            "attacked": rows_of(setup, "attacked", for_ann, for_snn, after, layer),
        }
        steps = shown_steps(before, layer)
    draw_maps(
        setup.out / "fig7.png",
        f"Maps before and after an attack, ε = {epsilon:g}",
        f"Grad-CAM of the ANN and SAM of the SNN at {layer}, each map stretched to 0 … 1, and what each answers",
        ["Grad-CAM", *(f"SAM t={step}" for step in steps)],
        [row for both in zip(*shown.values(), strict=True) for row in both],
    )
    what = f"normalised L1 shift, iterated attack, ε = {epsilon:g}, Grad-CAM of the ANN against SAM at {layer}"
    paper = "Grad-CAM changes much, SAM hardly (seen, not measured)"
    claim = compared(what, paper, {"Grad-CAM": grad_cam, "SAM": sam}, seed)
    columns = ["image", "map", "epsilon", "value"]
    table = pd.concat([grad_cam, sam]).assign(epsilon=epsilon)[columns]
    return Result("Fig. 7: maps before and after an attack", summary(table, seed), [claim], NOTES, table)


def rows_of(
    setup: Setup, state: str, for_ann: ImageSet, for_snn: ImageSet, raster: RasterReader, layer: str
) -> list[Row]:
    """One row per shown image: Grad-CAM, then SAM at some steps, over the image that the SNN gets."""
    names, steps = setup.class_names, shown_steps(raster, layer)
    grad_cams = min_max(reference_maps(setup, for_ann))
    answers: dict[str, NDArray[Any]] = {"ANN": ann_predictions(setup, for_ann), "SNN": raster.predictions}
    grid = []
    for image in range(min(setup.settings.shown, len(for_snn))):
        truth = for_snn.labels[image]
        said = [
            f"{network} ✓" if answer[image] == truth else f"{network} ✗ {names[answer[image]]}"
            for network, answer in answers.items()
        ]
        maps = min_max(sam_maps(raster, layer, image, setup.settings.gamma))
        picture = for_snn.picture(image) if setup.settings.show_images else None
        subject = names[truth] if truth >= 0 else "unknown"
        label = "\n".join([f"{subject}, {state}", *said])
        grid.append(row_of_maps(label, [grad_cams[image], *at_steps(maps, steps)], picture, each=True))
    return grid


def shown_steps(raster: RasterReader, layer: str) -> list[int]:
    """Steps to draw: from the one at which the image reaches the layer."""
    return thinned(raster.steps_that_matter(layer), 7, first=raster.layer(layer).number)


NOTES = (
    "Each network is attacked through its own gradient. Grad-CAM is for the true class before and after. Where images "
    "are drawn, they are those attacked through the SNN; the ANN's differ from them by at most 2ε a pixel.",
)
