"""Fig. 3: the variance of heatmaps, layer by layer: SNN-crafted Grad-CAM lower than SAM.

The paper's number for what Fig. 2 shows: the variance over pixels of a map, at the step where it is largest, is lower
for SNN-crafted Grad-CAM, whose pixels are all alike where the gradient has come through many surrogate derivatives.

Measured at every convolution, on maps that are min-max normalised (without that the variance would be the unit's), at
the steps whose spikes can still change the answer; differences are paired over images. The plain spike count stands
beside both: it is what both weigh, Grad-CAM with one gradient per channel, SAM with one kernel per neuron. Where it has
SAM's variance, the difference is what gradients smooth; where it has Grad-CAM's, it is what the kernel sharpens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.measures.attention import heatmap_variance
from pipeline.measures.statistics import Estimate, bootstrap_mean, paired_difference
from recordings.reader import RasterReader

from .drawing import Curve, Panel, draw_curves
from .heatmaps import convolutions, count_maps, sam_maps, snn_grad_cams
from .lab import Lab
from .result import Claim, Result, verdict, with_interval

METHODS = ("SAM", "spike count", "SNN Grad-CAM")
Scores = Mapping[str, Mapping[str, Sequence[float]]]  # layer -> method -> one per image


def run(lab: Lab) -> Result:
    """Measure, compare and draw."""
    seed = lab.settings.seed
    scores = variances(lab)
    means = {
        layer: {method: bootstrap_mean(values, seed) for method, values in methods.items()}
        for layer, methods in scores.items()
    }
    table = [
        {"layer": layer[4:], "map": method, **estimate._asdict()}
        for layer, methods in means.items()
        for method, estimate in methods.items()
    ]
    claims = [claim_of(layer, means[layer], scores[layer], seed) for layer in scores]
    if len(scores) > 1:
        claims.append(claim_of_depth(scores, seed))
    draw(lab, means)
    return Result("Fig. 3: variance of heatmaps", table, claims, NOTES)


def variances(lab: Lab) -> dict[str, dict[str, list[float]]]:
    """The largest variance over steps: layer -> method -> one per image."""
    images, gamma = lab.images, lab.settings.gamma
    found = {}
    with RasterReader(lab.recording(lab.surrogate.network, images)) as raster:
        grad_cams = snn_grad_cams(lab, images, raster)
        layers = convolutions(raster)
        with lab.progress("variance", len(layers) * len(images)) as advance:
            for layer in layers:
                scores: dict[str, list[float]] = {method: [] for method in METHODS}
                for image in range(len(images)):
                    scores["SAM"].append(heatmap_variance(sam_maps(raster, layer, image, gamma)))
                    scores["spike count"].append(heatmap_variance(count_maps(raster, layer, image)))
                    scores["SNN Grad-CAM"].append(heatmap_variance(grad_cams[layer][image]))
                    advance(1)
                found[layer] = scores
    return found


def claim_of(layer: str, means: Mapping[str, Estimate], scores: Mapping[str, Sequence[float]], seed: int) -> Claim:
    """At one layer, SAM varies more."""
    difference = paired_difference(scores["SAM"], scores["SNN Grad-CAM"], seed)
    values = ", ".join(f"{method} {means[method].mean:.4f}" for method in METHODS)
    return Claim(
        f"heatmap variance at {layer[4:]}",
        "SNN-crafted Grad-CAM lower than SAM",
        f"{values}; SAM higher by {with_interval(difference)}",
        verdict(difference),
        difference.n,
    )


def claim_of_depth(scores: Scores, seed: int) -> Claim:
    """The difference is larger in the first convolution than in the last."""
    first, last = (
        np.subtract(scores[layer]["SAM"], scores[layer]["SNN Grad-CAM"]) for layer in (min(scores), max(scores))
    )
    growth = paired_difference(first, last, seed)
    return Claim(
        f"SAM's advantage in variance at {min(scores)[4:]} less that at {max(scores)[4:]}",
        "positive: smoothing grows towards shallow layers",
        with_interval(growth),
        verdict(growth),
        growth.n,
    )


def draw(lab: Lab, means: Mapping[str, Mapping[str, Estimate]]) -> None:
    """Layers on the x axis, a colour per kind of map."""
    curves = []
    for method in METHODS:
        found: list[Any] = [methods[method] for methods in means.values()]
        curves.append(
            Curve(
                method, range(len(found)), *([getattr(each, key) for each in found] for key in ("mean", "low", "high"))
            )
        )
    names = [layer[4:] for layer in means]
    panel = Panel("", "layer", "variance over pixels", curves, names)
    about = f"largest over steps, min-max normalised maps; mean of {len(lab.images)} images, 95 % interval"
    draw_curves(lab.out / "fig3.png", "Variance of heatmaps", about, [panel])


NOTES = (
    "Variance over the pixels of the min-max normalised map, at the step where it is largest, of those whose spikes "
    "can still change the answer. It says how far a map is from an even grey, not that it is right: noise varies too.",
)
