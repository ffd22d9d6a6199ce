"""Accuracy of the ANN and the SNN against the strength of attacks: their own, each other's, and random signs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from paper.common.ann import ann_predictions
from paper.common.attacked import ABOUT, attacked
from paper.common.claims import Claim, compared
from paper.common.images import ImageSet
from paper.common.setup import Setup
from paper.measures.tables import measured, minus, rows, summary, summary_of_shares
from spikesam.pipeline.drawing.curves import draw_curves
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.reader import RasterReader

OWN = {"ANN": ABOUT["ann"], "SNN": ABOUT["snn"]}  # each network's own attack
ITERATED = {"ANN": ABOUT["ann-iterated"], "SNN": ABOUT["snn-iterated"]}
COLOURS = {"ANN": "#c8553d", "SNN": "#1f5a99"}
CLAIM = "the SNN's accuracy falls more slowly"


def answers(setup: Setup, epsilons: Sequence[float]) -> pd.DataFrame:
    """Whether either network answers right, under every attack, of the images whose class is known.

    The value is 1 if right and 0 if wrong, of the SNN the mean over `paper.attack_seeds` Poisson seeds.
    """
    known = np.flatnonzero(setup.images.labels >= 0)
    if not known.size:
        raise InputError(f"{setup.images.name}: got images without classes, expected labelled ones; use class folders")
    parts = []
    for through, change in ABOUT.items():
        for epsilon in epsilons:
            images = attacked(setup, through, epsilon)
            right = {"ANN": ann_predictions(setup, images) == images.labels, "SNN": right_over_seeds(setup, images)}
            for network, of_network in right.items():
                names = {"measure": "accuracy", "network": network, "map": "", "layer": "", "change": change}
                parts.append(measured(of_network[known], known.tolist(), **names, epsilon=epsilon))
    return pd.concat(parts)


def right_over_seeds(setup: Setup, images: ImageSet) -> NDArray[np.float64]:
    """In what share of the Poisson seeds the SNN answers right: (N,)."""
    found = []
    for seed in range(setup.settings.seed, setup.settings.seed + setup.settings.attack_seeds):
        with RasterReader(setup.recording(setup.networks.surrogate.network, images, seed=seed)) as raster:
            found.append(raster.predictions == images.labels)
    return np.mean(found, axis=0)


def accuracy_table(right: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Accuracy of both networks under every attack, and how far they are apart under their own, at every strength."""
    tables = [summary_of_shares(right)]
    for attacks, told in ((OWN, "each attacked through itself"), (ITERATED, "each attacked through itself, iterated")):
        ann, snn = (rows(right, network=network, change=change) for network, change in attacks.items())
        tables.append(summary(minus(snn, ann, "epsilon").assign(network="SNN − ANN", change=told), seed))
    return pd.concat(tables)


def accuracy_claims(right: pd.DataFrame, seed: int) -> list[Claim]:
    """The SNN falls more slowly: under its own attack, in one step or iterated, and under the worst for each image."""
    every = [*OWN.values(), *ITERATED.values()]
    attacks = {
        "each network attacked through itself": {name: [change] for name, change in OWN.items()},
        "each network attacked through itself, iterated": {name: [change] for name, change in ITERATED.items()},
        "each image under the worst of all attacks": dict.fromkeys(OWN, every),
    }
    claims = []
    for told, changes in attacks.items():
        ann, snn = (hits(right, network, changes[network]) for network in ("ANN", "SNN"))
        claims.append(robustness_claim(f"share of the range of ε survived, {told}", ann, snn, seed))
    return claims


def hits(right: pd.DataFrame, network: str, changes: Sequence[str]) -> pd.DataFrame:
    """How surely a network is right under all of these attacks: a row per image, a column per strength, ascending."""
    found = rows(right, network=network)
    found = found[found["change"].isin(changes)]
    return found.groupby(["image", "epsilon"])["value"].min().unstack()


def robustness_claim(what: str, ann: pd.DataFrame, snn: pd.DataFrame, seed: int) -> Claim:
    """Compare the areas under the curves of the images that both networks get right when clean."""
    both = (ann[0.0] == 1) & (snn[0.0] == 1)
    if not both.any():
        return Claim(what, CLAIM, "no image that both networks get right", "cannot say", 0)
    areas = {
        name: measured(survived(hits[both].to_numpy(), hits.columns.tolist()))
        for name, hits in (("SNN", snn), ("ANN", ann))
    }
    return compared(what, CLAIM, areas, seed)


def survived(right: NDArray[Any], epsilons: Sequence[float]) -> NDArray[np.float64]:
    """Area under right(ε), (N, strengths), by the trapezoidal rule, as a share of the range of ε: (N,) in 0 … 1."""
    area: NDArray[np.float64] = trapezoid(right.astype(float), epsilons) / (epsilons[-1] - epsilons[0])
    return area


def note_on_gradients(accuracies: pd.DataFrame) -> str:
    """Whether a network looks robust only because its own gradient is useless."""
    strongest = rows(accuracies, epsilon=accuracies["epsilon"].max())
    last = strongest.set_index(["network", "change"])["mean"].map("{:.0%}".format)
    through_ann, through_snn = OWN["ANN"], OWN["SNN"]
    return (
        f"At ε = {accuracies['epsilon'].max():g} the ANN is right on {last['ANN', through_ann]} of the images attacked "
        f"through itself and on {last['ANN', through_snn]} of those attacked through the SNN. The SNN is right on "
        f"{last['SNN', through_snn]} attacked through itself and on {last['SNN', through_ann]} attacked through the "
        f"ANN. Iterated attacks through itself leave {last['ANN', ITERATED['ANN']]} of the ANN's answers and "
        f"{last['SNN', ITERATED['SNN']]} of the SNN's. If the other network's attack were the stronger one, a network "
        "would look robust only because its own gradient is misleading."
    )


def draw_accuracy(setup: Setup, accuracies: pd.DataFrame) -> None:
    """A colour per network, a line style per attack."""
    parts = []
    for kind, style, changes in (
        ("own attack", "-", OWN),
        ("own attack, iterated", "-.", ITERATED),
        ("SNN's attack", "--", {"ANN": OWN["SNN"]}),
        ("ANN's attack", "--", {"SNN": OWN["ANN"]}),
        ("random signs", ":", dict.fromkeys(OWN, ABOUT["noise"])),
    ):
        for network, change in changes.items():
            line = rows(accuracies, network=network, change=change)
            line = line.assign(curve=f"{network}, {kind}", colour=COLOURS[network], style=style)
            line[["mean", "low", "high"]] *= 100
            parts.append(line if kind != "random signs" else line.assign(low=np.nan, high=np.nan))
    about = f"{accuracies['n'].max()} images; bands: 95 % interval"
    points = pd.concat(parts).rename(columns={"epsilon": "x"})
    axes = ("ε, in the 0 … 1 range of a pixel", "accuracy, %")
    draw_curves(setup.out / "fig9.png", "Accuracy against attack strength", about, points, *axes)
