"""Fig. 7: maps before and after an attack: the ANN's Grad-CAM changes, the SNN's SAM hardly does.

The paper shows images with the Grad-CAM of the ANN and the SAM of the SNN, clean and after FGSM through the network
that is looked at (the strength is lost from its text; here `paper.shift_epsilon`).

Drawn here for `paper.shown` images, clean and attacked: Grad-CAM of the ANN twin for the true class, and SAM at the
SNN's last convolution, which has the same size, step by step, encoded with the same seed before and after. What the
picture claims is measured over all images, by the normalised L1 distance between such maps; fig9 adds the other layers,
the controls and the noise floor.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from pipeline.drawing.grid import MapRow, draw_maps
from pipeline.drawing.steps import thinned
from pipeline.measures.attention import min_max
from pipeline.measures.statistics import bootstrap_mean, paired_difference
from recordings.raster.reader import RasterReader

from .study.attacked import attacked
from .study.heatmaps import Maps, at_steps, convolutions, sam_maps
from .study.images import ImageSet
from .study.predictions import ann_predictions
from .study.result import Claim, Result, verdict, with_interval
from .study.shifts import STEPWISE, grad_cam_shifts, sam_shifts
from .study.study import Study


def run(study: Study) -> Result:
    """Attack, measure and draw."""
    epsilon, seed, network = study.settings.shift_epsilon, study.settings.seed, study.surrogate.network
    clean, for_ann, for_snn = study.images, attacked(study, "ann", epsilon), attacked(study, "snn", epsilon)
    with (
        RasterReader(study.recording(network, clean)) as before,
        RasterReader(study.recording(network, for_snn)) as after,
    ):
        layer = convolutions(before)[-1]
        shifts = {
            "Grad-CAM": grad_cam_shifts(study.reference(clean), study.reference(for_ann))[STEPWISE],
            "SAM": sam_shifts(study, before, after, layer)[STEPWISE],
        }
        rows = {
            "clean": rows_of(study, "clean", clean, clean, before, layer),
            "attacked": rows_of(study, "attacked", for_ann, for_snn, after, layer),
        }
        steps = shown_steps(before, layer)
    draw_maps(
        study.out / "fig7.png",
        f"Maps before and after an attack, ε = {epsilon:g}",
        f"Grad-CAM of the ANN and SAM of the SNN at {layer}, each map stretched to 0 … 1, and what each answers",
        ["Grad-CAM", *(f"SAM t={step}" for step in steps)],
        [row for pair in zip(*rows.values(), strict=True) for row in pair],
    )
    means = {method: bootstrap_mean(values, seed) for method, values in shifts.items()}
    difference = paired_difference(shifts["Grad-CAM"], shifts["SAM"], seed)
    values = ", ".join(f"{method} {mean.mean:.3f}" for method, mean in means.items())
    claim = Claim(
        f"normalised L1 shift at ε = {epsilon:g}, Grad-CAM of the ANN against SAM at {layer}",
        "Grad-CAM changes much, SAM hardly (seen, not measured)",
        f"{values}; Grad-CAM − SAM {with_interval(difference)}",
        verdict(difference),
        difference.n,
    )
    table = [{"map": method, "epsilon": epsilon, **mean._asdict()} for method, mean in means.items()]
    return Result("Fig. 7: maps before and after an attack", table, [claim], NOTES)


def rows_of(
    study: Study, state: str, for_ann: ImageSet, for_snn: ImageSet, raster: RasterReader, layer: str
) -> list[MapRow]:
    """One row per shown image: Grad-CAM, then SAM at some steps, over the image that the SNN gets."""
    names, steps = study.surrogate.class_names, shown_steps(raster, layer)
    grad_cams: Maps = min_max(study.reference(for_ann))
    answers: dict[str, NDArray[Any]] = {"ANN": ann_predictions(study, for_ann), "SNN": raster.predictions}
    rows = []
    for image in range(min(study.settings.shown, len(for_snn))):
        truth = for_snn.labels[image]
        said = [
            f"{network} ✓" if answer[image] == truth else f"{network} ✗ {names[answer[image]]}"
            for network, answer in answers.items()
        ]
        maps = min_max(sam_maps(raster, layer, image, study.settings.gamma))
        picture = for_snn.picture(image) if study.settings.show_images else None
        subject = names[truth] if truth >= 0 else "unknown"
        label = "\n".join([f"{subject}, {state}", *said])
        rows.append(MapRow(label, [grad_cams[image], *at_steps(maps, steps)], picture, each=True))
    return rows


def shown_steps(raster: RasterReader, layer: str) -> list[int]:
    """Steps to draw: from the one at which the image reaches the layer."""
    return thinned(raster.steps_that_matter(layer), 7, first=raster.layer(layer).number)


NOTES = (
    "Each network is attacked through its own gradient; Grad-CAM is for the true class before and after. Where images "
    "are drawn, they are those attacked through the SNN; the ANN's differ from them by at most 2ε a pixel.",
)
