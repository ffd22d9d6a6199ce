"""Table 1: localisation error and accuracy of surrogate-trained networks of three leaks λ.

The paper: with less forgetting (λ = 0.7, 0.8, 0.9) the error falls in every layer and the accuracy
rises.

Measured: localisation error against the ANN's Grad-CAM, minimum over the steps that can still
change the answer, with the kernel of the equations and with that of the authors' script; beside
them without a kernel, with the authors' floor, and against the object; accuracy in fixed point.
Each λ has several trainings, whose seeds are the same for all λ. Differences are between networks
of one training seed; intervals are over trainings and images.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from paper.common.errors_by_kernel import ERROR, SCRIPT, lowest_by_case, note_on_reference
from paper.common.images import ImageSet
from paper.common.result import Claim, Result, judged, with_interval
from paper.common.setup import Setup
from paper.measures.inference import bootstrap_over_networks, p_value
from paper.measures.tables import by_training, groups, measured, rows, summary, summary_of_shares
from spikesam import InputError, Network, RasterReader
from spikesam.figures import draw_curves
from spikesam.statistics import Estimate

PAPER_ERRORS = (
    "0.68 / 0.63 / 0.61",
    "0.86 / 0.82 / 0.80",
    "0.98 / 0.97 / 0.91",
)  # layers 4, 6 and 8
PAPER_ACCURACY = "47.53 / 53.36 / 56.57 %"
ACCURACY = "accuracy"
ERRORS = {
    ERROR: "",
    f"{ERROR}, {SCRIPT}": f", {SCRIPT}",
}  # measure -> what a claim says of its kernel
ALL, RANGE = "all", "largest − smallest"  # trainings


def run(setup: Setup) -> Result:
    """Train, or find trained, the networks of each leak; measure all on one set of images."""
    settings, networks = setup.settings, setup.networks
    leaks = sorted(set(settings.leaks))
    if len(leaks) < 2:
        raise InputError(f"paper.leaks: got {len(leaks)} values, expected 2 or more to compare")
    many = setup.validation(settings.accuracy_images)
    parts = [
        measure(setup, checkpoint.network, many).assign(leak=leak, training=training)
        for leak in leaks
        for training, checkpoint in enumerate(networks.leaky(leak))
    ]
    found = pd.concat(parts)[["image", "leak", "training", "measure", "layer", "value"]]
    errors = found[found["measure"] != ACCURACY]
    each = pd.concat([summary(errors), summary_of_shares(rows(found, measure=ACCURACY))])
    table = pd.concat([over_trainings(found), each]).sort_values("leak", kind="stable")
    draw(setup, table)
    shown = table[table["measure"].isin([ERROR, ACCURACY])]
    return Result(
        "Table 1: leak",
        table,
        judge(found),
        [note_on_trainings(shown), note_on_reference(setup)],
        found,
    )


def measure(setup: Setup, network: Network, many: ImageSet) -> pd.DataFrame:
    """Errors on the images of every experiment, answers on `many`: image, measure, layer, value."""
    errors = lowest_by_case(setup, setup.recording(network, setup.images))
    with RasterReader(setup.recording(network, many)) as raster:
        right = measured(raster.predictions == raster.samples.label, measure=ACCURACY, layer="")
    return pd.concat([errors, right])


def over_trainings(found: pd.DataFrame) -> pd.DataFrame:
    """Every condition over trainings: the mean of all, with the interval over trainings and images,
    and their range.
    """
    conditions = []
    for (leak, measure, layer), of_condition in groups(found, ["leak", "measure", "layer"]):
        values = by_training(of_condition)
        conditions.append((leak, ALL, measure, layer, *bootstrap_over_networks(values)))
        if len(values) > 1:
            means = values.mean(axis=1)
            spread = Estimate(values.shape[1], float(means.max() - means.min()), np.nan, np.nan)
            conditions.append((leak, RANGE, measure, layer, *spread))
    return pd.DataFrame(
        conditions, columns=["leak", "training", "measure", "layer", *Estimate._fields]
    )


def judge(found: pd.DataFrame) -> list[Claim]:
    """The lowest leak against the highest; leaks ascend."""
    leaks = found["leak"].unique()
    named = "λ = " + " / ".join(f"{leak:g}" for leak in leaks)
    ends = [f"λ = {leaks[0]:g}", f"λ = {leaks[-1]:g}"]
    layers = rows(found, measure=ERROR)["layer"].unique()
    papers = PAPER_ERRORS if len(layers) == len(PAPER_ERRORS) else ("falls",) * len(layers)
    claims = []
    kernels = [measure for measure in ERRORS if measure in set(found["measure"])]
    of_layers = [
        (measure, *each) for measure in kernels for each in zip(layers, papers, strict=True)
    ]
    for measure, layer, paper in [*of_layers, (ACCURACY, "", PAPER_ACCURACY)]:
        digits = ".3g" if layer else ".1%"
        by_leak = [
            by_training(rows(found, measure=measure, layer=layer, leak=leak)) for leak in leaks
        ]
        larger, smaller = (0, -1) if layer else (-1, 0)
        gain = bootstrap_over_networks(by_leak[larger] - by_leak[smaller])
        trainings = len(by_leak[0])
        means = " / ".join(format(each.mean(), digits) for each in by_leak)
        named_measure = "error" if layer else ACCURACY
        ours = (
            f"{means}; {named_measure} at {ends[larger]} − {named_measure} at {ends[smaller]}: "
            f"{with_interval(gain)}"
        )
        what = f"{layer}{ERRORS[measure]}: error at {named}" if layer else f"{ACCURACY} at {named}"
        p = p_value(gain, trainings if trainings > 1 else None)
        claims.append(judged(what, paper, ours, gain, p))
    return claims


def note_on_trainings(table: pd.DataFrame) -> str:
    """How far trainings of one leak are apart."""
    spread = rows(table, training=RANGE)
    if spread.empty:
        return (
            "There is one training for each leak: intervals show how much images differ, not "
            "how much trainings do."
        )
    told = ", ".join(
        f"λ = {row.leak:g} {row.layer or ACCURACY} {row.mean:.3g}" for row in spread.itertuples()
    )
    return (
        "Intervals are over trainings and images. The largest minus the smallest mean of the "
        f"trainings of one λ: {told}."
    )


def draw(setup: Setup, table: pd.DataFrame) -> None:
    """Accuracy, and the error of every layer, against leak: the mean of all trainings, and each of
    them, thin.
    """
    points = table[table["measure"].isin([*ERRORS, ACCURACY]) & (table["training"] != RANGE)]
    points = points.rename(columns={"measure": "panel", "leak": "x"})
    points = points.assign(
        curve=points["layer"].where(points["layer"] != "", ACCURACY),
        faint=points["training"].astype(str).where(points["training"] != ALL, ""),
    ).sort_values(["panel", "faint", "x"], kind="stable")
    title, y = (
        "Localisation error and accuracy against leak",
        {ACCURACY: "share of images"} | dict.fromkeys(ERRORS, "nats"),
    )
    count = setup.settings.trainings
    each = (
        f"{count} trainings for each leak, thin lines" if count > 1 else "1 training for each leak"
    )
    subtitle = f"mean over images and 95 % interval; {each}"
    draw_curves(setup.out / "table1.png", title, subtitle, points, "leak λ", y)
