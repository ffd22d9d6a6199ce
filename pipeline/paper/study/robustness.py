"""Accuracy of the ANN and the SNN against the strength of attacks: their own, each other's, and random signs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.drawing.curves import draw_curves
from pipeline.measures.tables import difference, measured, rows, summary_of_shares
from recordings.errors import InputError
from recordings.raster.reader import RasterReader

from .ann import ann_predictions
from .attacked import ABOUT, attacked
from .claims import Claim, compared
from .study import Study

OWN = {"ANN": ABOUT["ann"], "SNN": ABOUT["snn"]}  # each network's own attack
COLOURS = {"ANN": "#c8553d", "SNN": "#1f5a99"}
CLAIM = "the SNN's accuracy falls more slowly"


def answers(study: Study, epsilons: Sequence[float]) -> pd.DataFrame:
    """Whether either network answers right, under every attack, of the images whose class is known.

    Returns
    -------
    image, measure, network, map, layer, change, epsilon, value (1 right, 0 wrong)

    Raises
    ------
    InputError : if no class is known
    """
    known = np.flatnonzero(study.images.labels >= 0)
    if not known.size:
        raise InputError(f"{study.images.name}: got images without classes, expected labelled ones; use class folders")
    parts = []
    for through, change in ABOUT.items():
        for epsilon in epsilons:
            images = attacked(study, through, epsilon)
            with RasterReader(study.recording(study.networks.surrogate.network, images)) as raster:
                predicted = {"ANN": ann_predictions(study, images), "SNN": raster.predictions}
            for network, answer in predicted.items():
                names = {"measure": "accuracy", "network": network, "map": "", "layer": "", "change": change}
                right = (answer == images.labels)[known]
                parts.append(measured(right, known.tolist(), **names, epsilon=epsilon))
    return pd.concat(parts)


def accuracy_table(right: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Accuracy of both networks under every attack, and how far they are apart under their own, at every strength."""
    own = {network: rows(right, network=network, change=change) for network, change in OWN.items()}
    apart = []
    for epsilon in right["epsilon"].unique():
        estimate = difference(rows(own["SNN"], epsilon=epsilon), rows(own["ANN"], epsilon=epsilon), seed)
        names = {"network": "SNN − ANN", "change": "each attacked through itself", "epsilon": epsilon}
        apart.append({"measure": "accuracy", "map": "", "layer": "", **names, **estimate._asdict()})
    return pd.concat([summary_of_shares(right), pd.DataFrame(apart)])


def accuracy_claims(right: pd.DataFrame, seed: int) -> list[Claim]:
    """The SNN falls more slowly: each network under its own attack, and under the worse of both for each image."""
    about = "share of the range of ε survived, "
    own = {network: hits(right, network, [change]) for network, change in OWN.items()}
    worse = {network: hits(right, network, list(OWN.values())) for network in OWN}
    return [
        robustness_claim(about + "each network attacked through itself", own["ANN"], own["SNN"], seed),
        robustness_claim(about + "each image under the worse of both attacks", worse["ANN"], worse["SNN"], seed),
    ]


def hits(right: pd.DataFrame, network: str, changes: Sequence[str]) -> pd.DataFrame:
    """Whether a network is right under all of these attacks: a row per image, a column per strength, ascending."""
    found = rows(right, network=network)
    found = found[found["change"].isin(changes)]
    return found.groupby(["image", "epsilon"])["value"].min().unstack() > 0


def robustness_claim(what: str, ann: pd.DataFrame, snn: pd.DataFrame, seed: int) -> Claim:
    """Compare the areas under the curves of the images that both networks get right when clean."""
    both = ann[0.0] & snn[0.0]
    if not both.any():
        return Claim(what, CLAIM, "no image that both networks get right", "cannot say", 0)
    areas = {
        name: measured(survived(hits[both].to_numpy(), hits.columns.tolist()))
        for name, hits in (("SNN", snn), ("ANN", ann))
    }
    return compared(what, CLAIM, areas, seed)


def survived(right: NDArray[np.bool_], epsilons: Sequence[float]) -> NDArray[np.float64]:
    """Area under right(ε) of each image, by the trapezoidal rule, as a share of the range of ε.

    Parameters
    ----------
    right : (N, strengths)
    epsilons : (strengths,), ascending

    Returns
    -------
    (N,) in 0 … 1
    """
    widths = np.diff(epsilons)
    area: NDArray[np.float64] = (right[:, 1:].astype(float) + right[:, :-1]) / 2 @ widths / widths.sum()
    return area


def note_on_gradients(accuracies: pd.DataFrame) -> str:
    """Whether a network looks robust only because its own gradient is useless."""
    strongest = rows(accuracies, epsilon=accuracies["epsilon"].max())
    last = {
        (network, change): f"{mean:.0%}"
        for network, change, mean in zip(strongest["network"], strongest["change"], strongest["mean"], strict=True)
    }
    through_ann, through_snn = OWN["ANN"], OWN["SNN"]
    return (
        f"At ε = {accuracies['epsilon'].max():g} the ANN is right on {last['ANN', through_ann]} of the images attacked "
        f"through itself and on {last['ANN', through_snn]} of those attacked through the SNN. The SNN is right on "
        f"{last['SNN', through_snn]} attacked through itself and on {last['SNN', through_ann]} attacked through the "
        "ANN. If the other network's attack were the stronger one, a network would look robust only because its own "
        "gradient is misleading."
    )


def draw_accuracy(study: Study, accuracies: pd.DataFrame) -> None:
    """A colour per network, a line style per attack."""
    parts = []
    for kind in ("own attack", "other's attack", "random signs"):
        for network, own in OWN.items():
            other = OWN["SNN" if network == "ANN" else "ANN"]
            change = {"own attack": own, "other's attack": other, "random signs": ABOUT["noise"]}[kind]
            named = kind.replace("other", "SNN" if network == "ANN" else "ANN")
            line = rows(accuracies, network=network, change=change).assign(
                curve=f"{network}, {named}",
                colour=COLOURS[network],
                style={"own attack": "-", "other's attack": "--", "random signs": ":"}[kind],
            )
            ends = ["low", "high"]
            line[["mean", *ends]] *= 100
            parts.append(line if kind != "random signs" else line.assign(low=np.nan, high=np.nan))
    about = f"{accuracies['n'].max()} images; bands: 95 % interval"
    points = pd.concat(parts).rename(columns={"epsilon": "x"})
    axes = ("ε, in the 0 … 1 range of a pixel", "accuracy, %")
    draw_curves(study.out / "fig9.png", "Accuracy against attack strength", about, points, *axes)
