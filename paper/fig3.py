"""Fig. 3: the variance of heatmaps, layer by layer: SNN-crafted Grad-CAM lower than SAM.

The paper's number for what Fig. 2 shows: the variance over pixels of a map, at the step where it is
largest, is lower for SNN-crafted Grad-CAM, whose pixels are all alike where the gradient has come
through many surrogate derivatives.

Measured at every convolution, on maps that are min-max normalised (without that the variance would
depend on the unit), at the steps whose spikes can still change the answer; differences are paired
over images. The plain spike count stands beside both. It is what both weigh: Grad-CAM with one
gradient per channel, SAM with one kernel per neuron. Where the spike count has SAM's variance, the
difference is what gradients smooth. Where it has Grad-CAM's, the difference is what the kernel
sharpens.

The authors' code adds 0.001 to the range by which it divides. A SAM hardly changes by that, for it
counts spikes. A Grad-CAM does: its gradients may be smaller still, the more so the shallower the
layer, and it would be called even because it is small. So this floor is left out of the measure,
and a note says what it would do.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from paper.common.heatmaps import (
    MAPS,
    SAM,
    SNN_GRAD_CAM,
    Maps,
    convolutions,
    largest,
    mean_where_not_flat,
    measured_by_step,
    sam_above_grad_cam,
    step_of_largest,
)
from paper.common.result import Claim, Result, compared, differences
from paper.common.setup import Setup
from paper.measures.maps import AUTHORS_FLOOR, heatmap_variance, min_max
from paper.measures.tables import measured, rows, summary, values
from spikesam import RasterReader
from spikesam.figures import draw_curves

LARGEST, WHEN = "variance, largest over steps", "step of the largest"
MEAN = "variance, mean over the steps that are not flat"
FLOORED = (
    "variance, largest over steps, the authors' 0.001 added to the range that maps are divided by"
)


def run(setup: Setup) -> Result:
    """Measure, compare and draw."""
    seed = setup.settings.seed
    with RasterReader(setup.recording(setup.networks.surrogate.network, setup.images)) as raster:
        layers = convolutions(raster)
        functions = {LARGEST: heatmap_variance, FLOORED: floored_variance}
        by_step = measured_by_step(setup, raster, layers, MAPS, functions)
    plain, floored = (rows(by_step, measure=measure) for measure in functions)
    found = pd.concat(
        [
            largest(plain),
            mean_where_not_flat(plain).assign(measure=MEAN),
            largest(floored),
            step_of_largest(plain).assign(measure=WHEN),
        ]
    )
    table = summary(found, seed)
    variances = rows(found, measure=LARGEST)
    claims = sam_above_grad_cam(
        "heatmap variance", "SNN-crafted Grad-CAM lower than SAM", variances, seed
    )
    if len(layers) > 1:
        claims += claims_of_depth(variances, layers[0], layers[-1], seed)
    curves = rows(table, measure=LARGEST).rename(columns={"map": "curve", "layer": "x"})
    about = (
        f"largest over steps, min-max normalised maps; mean of {len(setup.images)} images, 95 "
        "% interval"
    )
    draw_curves(
        setup.out / "fig3.png",
        "Variance of heatmaps",
        about,
        curves,
        "layer",
        "variance over pixels",
    )
    otherwise = []
    for measure in (MEAN, FLOORED):
        by_map = rows(found, measure=measure)
        told = differences(rows(by_map, map=SAM), rows(by_map, map=SNN_GRAD_CAM), seed)
        otherwise.append(f"SAM − Grad-CAM by another measure ({measure}): {told}.")
    notes = [*NOTES, *notes_on_means(table), *otherwise]
    return Result("Fig. 3: variance of heatmaps", table, claims, notes, found)


def floored_variance(maps: Maps) -> float:
    """The variance with the authors' floor: a map whose range is far below 0.001 has none."""
    return float(min_max(maps, AUTHORS_FLOOR).var(dtype=np.float64))


def claims_of_depth(found: pd.DataFrame, first: str, last: str, seed: int) -> list[Claim]:
    """The difference is larger in the first convolution than in the last, as such and as a share of
    the sum.
    """
    claims = []
    for kind, share in (("", False), (", as a share of their sum", True)):
        excess = {}
        for layer in (first, last):
            sam, grad_cam = (
                values(found, layer=layer, map=name) for name in ("SAM", "SNN Grad-CAM")
            )
            total = np.where(sam + grad_cam > 0, sam + grad_cam, 1)
            excess[layer] = measured((sam - grad_cam) / (total if share else 1))
        what = f"variance of SAM minus that of Grad-CAM{kind}: larger at {first} than at {last}"
        claims.append(compared(what, "yes: shallow layers smooth most", excess, seed))
    return claims


def notes_on_means(table: pd.DataFrame) -> list[str]:
    """At which step the variance is largest, and how large it is for the spike count."""
    steps = rows(table, measure=WHEN).pivot(index="layer", columns="map", values="mean")
    when = [
        f"{layer} {of['SAM']:.1f} and {of['SNN Grad-CAM']:.1f}" for layer, of in steps.iterrows()
    ]
    count = rows(table, measure=LARGEST, map="spike count")
    counts = [
        f"{layer} {mean:.4f}" for layer, mean in zip(count["layer"], count["mean"], strict=True)
    ]
    return [
        f"The variance of the spike count is: {', '.join(counts)}.",
        "The step at which the variance is largest is, on average, for SAM and for Grad-CAM: "
        f"{', '.join(when)}. At "
        "the first step at which a layer fires, SAM is the plain spike count.",
    ]


NOTES = (
    "The variance is taken over the pixels of the min-max normalised map, at the step where it is "
    "largest. Only steps count whose spikes can still change the answer. The variance says how far "
    "a map is from an even grey. It does not "
    "say that the map is right: noise varies too.",
)
