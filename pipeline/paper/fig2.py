"""Fig. 2: SNN-crafted Grad-CAM smooths out in shallow layers, SAM does not.

The paper shows one image: the gradient of the logit, passed back through several surrogate derivatives, no longer tells
places apart, so that the Grad-CAM of an early layer is an even haze, while SAM, which needs no gradient, keeps its
structure; and both are empty at the beginning, before the image has arrived.

Drawn here for `paper.shown` images: the first convolution and `paper.layers`, step by step, each map min-max normalised
as the measures see it. In numbers: total variation, the mean difference between neighbouring pixels of such a map, at
the step where it is largest. A haze has little of it, whatever its shade; so have few large blobs. Fig. 3 measures the
same claim with the paper's own number, the variance. Grad-CAM is that of the float32 network, SAM that of the
fixed-point one, on the same input spikes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.drawing.grid import MapRow, draw_maps
from pipeline.drawing.steps import thinned
from pipeline.measures.attention import min_max
from pipeline.measures.roughness import total_variation
from pipeline.measures.statistics import bootstrap_mean, paired_difference
from recordings.raster.reader import RasterReader

from .study.heatmaps import Maps, at_steps, by_step, convolutions, mean_of_spoken, sam_maps, snn_grad_cams
from .study.result import Claim, Result, verdict, with_interval
from .study.study import Study


def run(study: Study) -> Result:
    """Compare the two kinds of map, and draw them."""
    images, gamma, seed = study.images, study.settings.gamma, study.settings.seed
    table: list[dict[str, Any]] = []
    claims, otherwise = [], []
    with RasterReader(study.recording(study.surrogate.network, images)) as raster:
        layers = drawn_layers(raster, study.layers(raster))
        grad_cams = snn_grad_cams(study, images, raster)
        with study.progress("total variation", len(layers) * len(images)) as advance:
            for layer in layers:
                steps: dict[str, list[list[float]]] = {"SNN Grad-CAM": [], "SAM": []}
                for image in range(len(images)):
                    steps["SNN Grad-CAM"].append(by_step(total_variation, grad_cams[layer][image]))
                    steps["SAM"].append(by_step(total_variation, sam_maps(raster, layer, image, gamma)))
                    advance(1)
                largest = {method: np.max(values, axis=1) for method, values in steps.items()}
                typical = {method: mean_of_spoken(np.array(values)) for method, values in steps.items()}
                for summary, scores in (("largest over steps", largest), ("mean over steps", typical)):
                    for method, values in scores.items():
                        about = {"measure": f"total variation, {summary}", "layer": layer, "map": method}
                        table.append({**about, **bootstrap_mean(values, seed)._asdict()})
                claims.append(claim_of(layer, largest, seed))
                difference = paired_difference(typical["SAM"], typical["SNN Grad-CAM"], seed)
                otherwise.append(f"{layer} {with_interval(difference)}")
        for image in range(min(study.settings.shown, len(images))):
            draw(study, raster, layers, grad_cams, image)
    note = f"Averaged over the steps that are not flat, SAM − Grad-CAM is: {', '.join(otherwise)}."
    return Result("Fig. 2: SNN-crafted Grad-CAM against SAM", table, claims, [*NOTES, note])


def claim_of(layer: str, scores: Mapping[str, NDArray[np.float64]], seed: int) -> Claim:
    """At one layer, SAM varies more from pixel to pixel."""
    difference = paired_difference(scores["SAM"], scores["SNN Grad-CAM"], seed)
    values = ", ".join(f"{method} {score.mean():.3f}" for method, score in scores.items())
    return Claim(
        f"total variation at {layer}",
        "SNN-crafted Grad-CAM is smoother than SAM",
        f"{values}; SAM − Grad-CAM {with_interval(difference)}",
        verdict(difference),
        difference.n,
    )


def drawn_layers(raster: RasterReader, chosen: list[str]) -> list[str]:
    """The first convolution, which is the shallow one, and the chosen layers."""
    return [name for name in raster if name in {convolutions(raster)[0], *chosen}]


def draw(study: Study, raster: RasterReader, layers: list[str], grad_cams: dict[str, Maps], image: int) -> None:
    """Picture one image: Grad-CAM above SAM, layer by layer."""
    images = study.images
    picture = images.picture(image) if study.settings.show_images else None
    steps = thinned(max(len(grad_cams[layer][image]) for layer in layers), first=1)
    rows = []
    for layer in layers:
        size = "×".join(map(str, raster.layer(layer).shape[1:]))
        kinds = {"Grad-CAM": grad_cams[layer][image], "SAM": sam_maps(raster, layer, image, study.settings.gamma)}
        for kind, maps in kinds.items():
            label = f"{layer}, {size}\n{kind}"
            rows.append(MapRow(label, at_steps(min_max(maps), steps), picture, each=True))
    names = study.surrogate.class_names
    truth = f"true: {names[images.labels[image]]}, " if images.labels[image] >= 0 else ""
    draw_maps(
        study.out / ("fig2.png" if image == 0 else f"fig2_{image + 1}.png"),
        "SNN-crafted Grad-CAM against SAM",
        f"{truth}predicted: {names[raster.predictions[image]]}; each map stretched to 0 … 1; blank: too late to matter",
        [f"t = {step}" for step in steps],
        rows,
    )


NOTES = (
    "Total variation: mean difference between neighbouring pixels of the min-max normalised map, at the step where it "
    "is largest, of those whose spikes can still change the answer. A haze has little, speckle much, a compact blob "
    "something between: a map may vary less than another (fig3) and still be rougher.",
    "Grad-CAM is taken for the true class through the float32 network, SAM from the raster of the fixed-point one, on "
    "the same input spikes.",
)
