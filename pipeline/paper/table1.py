"""Table 1: localisation error and accuracy of surrogate-trained networks of three leaks λ.

The paper: with less forgetting (λ = 0.7, 0.8, 0.9) the error falls in every layer and the accuracy rises.

Measured: localisation error against the ANN's Grad-CAM, minimum over the steps that can still change the answer;
accuracy in fixed point. Intervals are over images; what another training seed changes is shown by a twin of the network
of the highest leak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backends.network.graph import Network
from pipeline.drawing.curves import draw_curves
from pipeline.measures.statistics import Estimate, bootstrap_mean, mean_with_interval, paired_difference
from recordings.errors import InputError
from recordings.raster.reader import RasterReader

from .study.images import ImageSet
from .study.result import Claim, Result, verdict, with_interval
from .study.study import Study
from .study.sweep import lowest_errors_of

PAPER_ERRORS = ("0.68 / 0.63 / 0.61", "0.86 / 0.82 / 0.80", "0.98 / 0.97 / 0.91")  # layers 4, 6 and 8
PAPER_ACCURACY = "47.53 / 53.36 / 56.57 %"


@dataclass(frozen=True, eq=False)
class Measured:
    """One network: localisation errors, layer -> (N,), and whether it is right about (M,) images."""

    errors: dict[str, NDArray[np.float64]]
    hits: NDArray[np.bool_]


def run(study: Study) -> Result:
    """Train, or find trained, one network for each leak; measure all on the same images."""
    settings = study.settings
    leaks = sorted(set(settings.leaks))
    if len(leaks) < 2:
        raise InputError(f"paper.leaks: got {len(leaks)} values, expected 2 or more to compare")
    seed = study.config.training.seed
    many = study.validation(settings.accuracy_images)
    found = {leak: measure(study, study.leaky(leak, seed).network, many) for leak in leaks}
    twin = measure(study, study.twin(leaks[-1]).network, many)
    rows = [(leak, seed, each) for leak, each in found.items()] + [(leaks[-1], settings.twin_seed, twin)]
    table = [
        {"leak": leak, "training_seed": training_seed, "what": what, "layer": layer} | estimate._asdict()
        for leak, training_seed, each in rows
        for what, layer, estimate in _estimates(each)
    ]
    _draw(study, found)
    return Result("Table 1: leak", table, judge(found), [_noise(leaks[-1], found[leaks[-1]], twin)])


def measure(study: Study, network: Network, many: ImageSet) -> Measured:
    """Errors on the images of every experiment, accuracy on `many`."""
    path = study.recording(network, study.images)
    errors = lowest_errors_of(study, path, study.reference(study.images), [study.settings.gamma])
    with RasterReader(study.recording(network, many)) as raster:
        hits = raster.predictions == raster.samples.label
    return Measured({layer: of_layer[:, 0] for layer, of_layer in errors.items()}, hits)


def judge(found: dict[float, Measured]) -> list[Claim]:
    """The lowest leak against the highest; keys ascend."""
    leaks = list(found)
    lowest, highest = found[leaks[0]], found[leaks[-1]]
    named = "λ = " + " / ".join(f"{leak:g}" for leak in leaks)
    layers = list(lowest.errors)
    papers = PAPER_ERRORS if len(layers) == len(PAPER_ERRORS) else ("falls",) * len(layers)
    claims = []
    for layer, paper in zip(layers, papers, strict=True):
        difference = paired_difference(lowest.errors[layer], highest.errors[layer])
        means = " / ".join(f"{each.errors[layer].mean():.3g}" for each in found.values())
        ours = f"{means}; falls by {with_interval(difference)}"
        claims.append(Claim(f"{layer}: error at {named}", paper, ours, verdict(difference), difference.n))
    gain = paired_difference(highest.hits, lowest.hits)
    rates = " / ".join(f"{each.hits.mean():.1%}" for each in found.values())
    ours = f"{rates}; rises by {with_interval(gain)}"
    return [*claims, Claim(f"accuracy at {named}", PAPER_ACCURACY, ours, verdict(gain), gain.n)]


def _estimates(measured: Measured) -> list[tuple[str, str, Estimate]]:
    errors = [("localisation error", layer, bootstrap_mean(values)) for layer, values in measured.errors.items()]
    accuracy = Estimate(len(measured.hits), *mean_with_interval(measured.hits))
    return [*errors, ("accuracy", "", accuracy)]


def _noise(leak: float, one: Measured, other: Measured) -> str:
    parts = [
        f"{layer} {with_interval(paired_difference(one.errors[layer], other.errors[layer]))}" for layer in one.errors
    ]
    gain = with_interval(paired_difference(one.hits, other.hits))
    return (
        "One network for each leak: the intervals know the images, not the luck of a training. Two trainings of "
        f"different seeds at λ = {leak:g} differ in error by {', '.join(parts)}, in accuracy by {gain}."
    )


def _draw(study: Study, found: dict[float, Measured]) -> None:
    points = [
        {"panel": what, "curve": layer or what, "x": leak} | estimate._asdict()
        for leak, each in found.items()
        for what, layer, estimate in _estimates(each)
    ]
    subtitle = "mean over images and 95 % interval; one training for each leak"
    title = "Localisation error and accuracy against leak"
    y = {"localisation error": "nats", "accuracy": "share of images"}
    draw_curves(study.out / "table1.png", title, subtitle, pd.DataFrame(points), "leak λ", y)
