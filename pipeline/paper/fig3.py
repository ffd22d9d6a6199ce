"""Fig. 3: the variance of heatmaps, layer by layer: SNN-crafted Grad-CAM lower than SAM.

The paper's number for what Fig. 2 shows: the variance over pixels of a map, at the step where it is largest, is lower
for SNN-crafted Grad-CAM, whose pixels are all alike where the gradient has come through many surrogate derivatives.

Measured at every convolution, on maps that are min-max normalised (without that the variance would be the unit's), at
the steps whose spikes can still change the answer; differences are paired over images. The plain spike count stands
beside both: it is what both weigh, Grad-CAM with one gradient per channel, SAM with one kernel per neuron. Where it has
SAM's variance, the difference is what gradients smooth; where it has Grad-CAM's, it is what the kernel sharpens.

The authors' code adds 0.001 to the range by which it divides. A SAM hardly feels that, for it counts spikes; a Grad-CAM
does, whose gradients may be smaller still, the more so the shallower the layer: it would then be called even because it
is small. So the floor is left out of the measure, and what it would do is noted.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.drawing.curves import draw_curves
from pipeline.measures.attention import AUTHORS_FLOOR, heatmap_variance, min_max
from pipeline.measures.statistics import Estimate, bootstrap_mean, paired_difference
from recordings.raster.reader import RasterReader

from .study.heatmaps import Maps, by_step, convolutions, count_maps, mean_of_spoken, sam_maps, snn_grad_cams
from .study.result import Claim, Result, verdict, with_interval
from .study.study import Study

METHODS = ("SAM", "spike count", "SNN Grad-CAM")
PAPERS, WHEN = "variance, largest over steps", "step of the largest"
EVERY = "variance, mean over the steps that are not flat"
FLOORED = "variance, largest over steps, the authors' 0.001 added to the range that maps are divided by"
Scores = Mapping[str, NDArray[np.float64]]  # method -> one per image
Layers = Mapping[str, Mapping[str, Scores]]  # summary of the steps -> layer -> method -> one per image


def run(study: Study) -> Result:
    """Measure, compare and draw."""
    seed = study.settings.seed
    scores = variances(study)
    means = {
        summary: {
            layer: {method: bootstrap_mean(values, seed) for method, values in methods.items()}
            for layer, methods in layers.items()
        }
        for summary, layers in scores.items()
    }
    table = [
        {"measure": summary, "layer": layer, "map": method, **estimate._asdict()}
        for summary, layers in means.items()
        for layer, methods in layers.items()
        for method, estimate in methods.items()
    ]
    claims = [claim_of(layer, means[PAPERS][layer], values, seed) for layer, values in scores[PAPERS].items()]
    if len(claims) > 1:
        claims += claims_of_depth(scores[PAPERS], seed)
    draw(study, means[PAPERS])
    otherwise = [note_on_summary(summary, scores[summary], seed) for summary in (EVERY, FLOORED)]
    notes = [*NOTES, note_on_steps(means[WHEN]), *otherwise]
    return Result("Fig. 3: variance of heatmaps", table, claims, notes)


def variances(study: Study) -> dict[str, dict[str, dict[str, NDArray[np.float64]]]]:
    """The variance of every kind of map in every layer, and how it is spread over steps."""
    images, gamma = study.images, study.settings.gamma
    found: dict[str, dict[str, dict[str, NDArray[np.float64]]]] = {PAPERS: {}, EVERY: {}, FLOORED: {}, WHEN: {}}
    with RasterReader(study.recording(study.surrogate.network, images)) as raster:
        grad_cams = snn_grad_cams(study, images, raster)
        layers = convolutions(raster)
        with study.progress("variance", len(layers) * len(images)) as advance:
            for layer in layers:
                scores: dict[str, list[list[float]]] = {method: [] for method in METHODS}
                floored: dict[str, list[float]] = {method: [] for method in METHODS}
                for image in range(len(images)):
                    sam, count = sam_maps(raster, layer, image, gamma), count_maps(raster, layer, image)
                    for method, maps in zip(METHODS, (sam, count, grad_cams[layer][image]), strict=True):
                        scores[method].append(by_step(heatmap_variance, maps))
                        floored[method].append(max(by_step(floored_variance, maps)))
                    advance(1)
                found[FLOORED][layer] = {method: np.array(values) for method, values in floored.items()}
                steps = {method: np.array(values) for method, values in scores.items()}
                found[PAPERS][layer] = {method: values.max(axis=1) for method, values in steps.items()}
                found[EVERY][layer] = {method: mean_of_spoken(values) for method, values in steps.items()}
                found[WHEN][layer] = {method: values.argmax(axis=1).astype(float) for method, values in steps.items()}
    return found


def floored_variance(maps: Maps) -> float:
    """The variance with the authors' floor: a map whose range is far below 0.001, as of small gradients, has none."""
    return float(min_max(maps, AUTHORS_FLOOR).var(dtype=np.float64))


def claim_of(layer: str, means: Mapping[str, Estimate], scores: Scores, seed: int) -> Claim:
    """At one layer, SAM varies more."""
    difference = paired_difference(scores["SAM"], scores["SNN Grad-CAM"], seed)
    values = ", ".join(f"{method} {means[method].mean:.4f}" for method in METHODS)
    return Claim(
        f"heatmap variance at {layer}",
        "SNN-crafted Grad-CAM lower than SAM",
        f"{values}; SAM − Grad-CAM {with_interval(difference)}",
        verdict(difference),
        difference.n,
    )


def claims_of_depth(layers: Mapping[str, Scores], seed: int) -> list[Claim]:
    """The difference is larger in the first convolution than in the last, as such and as a share of both."""
    first, last = min(layers), max(layers)
    what = f"SAM's excess of variance at {first} above that at {last}"
    claims = []
    for kind, share in (("", False), (", as a share of the sum of both", True)):
        excess = []
        for scores in (layers[first], layers[last]):
            sam, grad_cam = scores["SAM"], scores["SNN Grad-CAM"]
            total = np.where(sam + grad_cam > 0, sam + grad_cam, 1)
            excess.append((sam - grad_cam) / (total if share else 1))
        growth = paired_difference(excess[0], excess[1], seed)
        ours = f"{excess[0].mean():.3g} against {excess[1].mean():.3g}; difference {with_interval(growth)}"
        claims.append(Claim(what + kind, "positive: shallow layers smooth most", ours, verdict(growth), growth.n))
    return claims


def note_on_steps(means: Mapping[str, Mapping[str, Estimate]]) -> str:
    """At which step the variance is largest."""
    when = [f"{layer} {of['SAM'].mean:.1f} and {of['SNN Grad-CAM'].mean:.1f}" for layer, of in means.items()]
    return (
        f"The largest variance of SAM and of Grad-CAM falls on step, on average: {', '.join(when)}. At the first step "
        "at which a layer fires, SAM is the plain spike count."
    )


def note_on_summary(summary: str, layers: Mapping[str, Scores], seed: int) -> str:
    """What comes out if the variance is summarised or normalised otherwise."""
    differences = [
        f"{layer} {with_interval(paired_difference(scores['SAM'], scores['SNN Grad-CAM'], seed))}"
        for layer, scores in layers.items()
    ]
    return f"Otherwise measured ({summary}), SAM − Grad-CAM is: {', '.join(differences)}."


def draw(study: Study, means: Mapping[str, Mapping[str, Estimate]]) -> None:
    """Layers on the x axis, a colour per kind of map."""
    points = [
        {"curve": method, "x": layer} | methods[method]._asdict()
        for method in METHODS
        for layer, methods in means.items()
    ]
    axes = ("layer", "variance over pixels")
    about = f"largest over steps, min-max normalised maps; mean of {len(study.images)} images, 95 % interval"
    draw_curves(study.out / "fig3.png", "Variance of heatmaps", about, pd.DataFrame(points), *axes)


NOTES = (
    "Variance over the pixels of the min-max normalised map, at the step where it is largest, of those whose spikes "
    "can still change the answer. It says how far a map is from an even grey, not that it is right: noise varies too.",
)
