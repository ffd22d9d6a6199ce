"""Accuracy of the ANN and the SNN against the strength of attacks: their own, each other's, and random signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.drawing.curves import draw_curves
from pipeline.measures.statistics import Estimate, mean_with_interval, paired_difference
from recordings.errors import InputError
from recordings.raster.reader import RasterReader

from .attacked import ABOUT, Through, attacked
from .predictions import ann_predictions
from .result import Claim, verdict, with_interval
from .study import Study

Hits = NDArray[np.bool_]  # (N, strengths), whether the answer is right
Right = Mapping[tuple[str, Through], Hits]  # network, attack -> hits

OWN: dict[str, Through] = {"ANN": "ann", "SNN": "snn"}
COLOURS = {"ANN": "#c8553d", "SNN": "#1f5a99"}
CLAIM = "the SNN's accuracy falls more slowly"


def answers(study: Study, epsilons: Sequence[float]) -> Right:
    """Which of the images whose class is known are answered correctly, by either network, under every attack.

    Raises
    ------
    InputError : if no class is known
    """
    known = study.images.labels >= 0
    if not known.any():
        raise InputError(f"{study.images.name}: got images without classes, expected labelled ones; use class folders")
    shape = (len(study.images), len(epsilons))
    found = {(network, through): np.zeros(shape, np.bool_) for through in ABOUT for network in OWN}
    for column, epsilon in enumerate(epsilons):
        for through in ABOUT:
            images = attacked(study, through, epsilon)
            with RasterReader(study.recording(study.surrogate.network, images)) as raster:
                found["SNN", through][:, column] = raster.predictions == images.labels
            found["ANN", through][:, column] = ann_predictions(study, images) == images.labels
    return {line: hits[known] for line, hits in found.items()}


def accuracy_rows(right: Right, epsilons: Sequence[float], seed: int) -> list[dict[str, Any]]:
    """Accuracy of every line, and the paired difference of the networks under their own attacks, at every strength."""
    rows = []
    for (network, through), hits in right.items():
        for epsilon, column in zip(epsilons, hits.T, strict=True):
            about = {"measure": "accuracy", "of": network, "change": ABOUT[through], "epsilon": epsilon}
            rows.append(about | accuracy(column)._asdict())
    for epsilon, snn, ann in zip(epsilons, right["SNN", "snn"].T, right["ANN", "ann"].T, strict=True):
        about = {"measure": "accuracy", "of": "SNN − ANN", "change": "each attacked through itself", "epsilon": epsilon}
        rows.append(about | paired_difference(snn, ann, seed)._asdict())
    return rows


def accuracy(right: NDArray[np.bool_]) -> Estimate:
    """Share of right answers, with Wilson's interval."""
    return Estimate(len(right), *mean_with_interval(right))


def accuracy_claims(right: Right, epsilons: Sequence[float], seed: int) -> list[Claim]:
    """The SNN falls more slowly: each network under its own attack, and under the worse of both for each image."""
    own = {network: right[network, through] for network, through in OWN.items()}
    worse = {network: right[network, "ann"] & right[network, "snn"] for network in OWN}
    about = "share of the range of ε survived, "
    return [
        robustness_claim(about + "each attacked through itself", own, epsilons, seed),
        robustness_claim(about + "the worse of both attacks", worse, epsilons, seed),
    ]


def robustness_claim(what: str, right: Mapping[str, Hits], epsilons: Sequence[float], seed: int) -> Claim:
    """Compare the areas under the curves of the images that both networks get right when clean."""
    both = right["ANN"][:, 0] & right["SNN"][:, 0]
    if not both.any():
        return Claim(what, CLAIM, "no image that both networks get right", "cannot say", 0)
    areas = {network: survived(hits[both], epsilons) for network, hits in right.items()}
    difference = paired_difference(areas["SNN"], areas["ANN"], seed)
    ours = ", ".join(f"{network} {area.mean():.2f}" for network, area in areas.items())
    return Claim(what, CLAIM, f"{ours}; SNN − ANN {with_interval(difference)}", verdict(difference), difference.n)


def survived(right: Hits, epsilons: Sequence[float]) -> NDArray[np.float64]:
    """Area under right(ε) of each image, by the trapezoidal rule, as a share of the range of ε: (N,) in 0 … 1."""
    widths = np.diff(epsilons)
    area: NDArray[np.float64] = (right[:, 1:].astype(float) + right[:, :-1]) / 2 @ widths / widths.sum()
    return area


def note_on_gradients(right: Right, epsilons: Sequence[float]) -> str:
    """Whether a network looks robust only because its own gradient is useless."""
    last = {line: f"{hits[:, -1].mean():.0%}" for line, hits in right.items()}
    return (
        f"At ε = {epsilons[-1]:g} the ANN is right on {last['ANN', 'ann']} attacked through itself and "
        f"{last['ANN', 'snn']} through the SNN; the SNN on {last['SNN', 'snn']} through itself and "
        f"{last['SNN', 'ann']} through the ANN. Were another network's attack the stronger one, the network's own "
        "gradient would be to blame for its robustness."
    )


def draw_accuracy(study: Study, right: Right, epsilons: Sequence[float]) -> None:
    """A colour per network, a line style per attack."""
    points: list[dict[str, Any]] = []
    own_first = sorted(right.items(), key=lambda line: (line[0][1] == "noise", OWN[line[0][0]] != line[0][1]))
    for (network, through), hits in own_first:
        own, noise = OWN[network] == through, through == "noise"
        attack = "own attack" if own else "random signs" if noise else f"{through.upper()}'s attack"
        curve: dict[str, Any] = {
            "curve": f"{network}, {attack}",
            "colour": COLOURS[network],
            "style": "-" if own else ":" if noise else "--",
        }
        for epsilon, column in zip(epsilons, hits.T, strict=True):
            _, mean, low, high = accuracy(column)
            ends = {} if noise else {"low": 100 * low, "high": 100 * high}
            points.append(curve | {"x": epsilon, "mean": 100 * mean} | ends)
    axes = ("ε, in the 0 … 1 range of a pixel", "accuracy, %")
    about = f"{len(right['ANN', 'ann'])} images; bands: 95 % interval"
    draw_curves(study.out / "fig9.png", "Accuracy against attack strength", about, pd.DataFrame(points), *axes)
