"""Beyond the paper: the same sum of learning rate × decay by long and weak, and short and strong
decay of BNTT's gains; and gradients of zero.

In :mod:`.doses` all doses have the same number of steps, and their gains a learning rate of their
own. Here gains learn as fast as synapses, as in the paper, and the sum is that of the paper with
batches of 128 images. What differs is the number of epochs, and with it the decay that gives this
sum. Each length is trained three times over: with decay, with decay where the optimizer gets
gradients of zero for steps that reach no answer, and without decay of the gains.

The design, written before the first run, is in `docs/designs.md`. Intervals are over trainings and
images.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from paper.common.result import Claim, Result, compared_over_trainings
from paper.common.settings import PAPER_SUM, DosesSection
from paper.common.setup import Setup
from paper.doses import (
    BURST,
    LATE,
    RATE,
    RIGHT,
    SHARES,
    Gradients,
    Treatment,
    decay_of,
    dosed,
    measure,
    training_config,
)
from paper.measures.tables import rows, summary_over_trainings
from spikesam.figures import CurveOptions, draw_curves
from spikesam.training import steps_per_epoch

DOSE = 0.25  # of the paper's sum with batches of 32: that with batches of 128
ARMS: tuple[tuple[str, float, Gradients], ...] = (
    ("decay, no gradients", DOSE, "none"),
    ("decay, gradients of zero", DOSE, "zero"),
    ("no decay", 0.0, "none"),
)
SKIPPED, ZEROS, WITHOUT = (name for name, _, _ in ARMS)


def run(setup: Setup) -> Result:
    """Train, or find trained, and compare."""
    every = pd.concat(list(measurements(setup)))
    columns = ["image", "epochs", "arm", "training", "measure", "layer", "value"]
    every = every.loc[every["measure"] != RATE, columns]
    table = summary_over_trainings(every, SHARES)
    draw(setup, table)
    return Result(
        "One sum of learning rate × decay, by trainings of several lengths",
        table,
        list(claims(every)),
        notes(setup),
        every,
        networks={},
    )


def measurements(setup: Setup) -> Iterator[pd.DataFrame]:
    """Short trainings first, and in each length the decay with and without gradients of zero."""
    section = setup.config.doses
    for epochs in section.lengths:
        for training in range(section.length_trainings):
            first = training_config(setup, training)
            then = section.training.model_copy(
                update={"seed": section.training.seed + training, "epochs": epochs}
            )
            for arm, dose, gradients in ARMS:
                network = dosed(setup, first, then, Treatment(dose, gradients, 1.0))
                measures = measure(setup, network)
                yield measures.assign(epochs=epochs, arm=arm, training=training)


def claims(every: pd.DataFrame) -> Iterator[Claim]:
    """Does decay silence late steps at each length; does the shortest training so more than others;
    is the burst that of skipped gradients?
    """
    lengths = list(every["epochs"].unique())
    late, burst = rows(every, measure=LATE), rows(every, measure=BURST)
    for layer in late["layer"].unique():
        for epochs in lengths:
            of_layer = rows(late, layer=layer, epochs=epochs)
            pair = {arm: rows(of_layer, arm=arm) for arm in (SKIPPED, WITHOUT)}
            what = f"{layer}: {LATE}, {epochs} epochs: decay, against none"
            yield compared_over_trainings(what, "active, then zero", pair)
        for epochs in lengths[1:]:
            both = {
                f"{length} epochs": rows(late, layer=layer, epochs=length, arm=SKIPPED)
                for length in (lengths[0], epochs)
            }
            what = f"{layer}: {LATE}, {lengths[0]} epochs against {epochs}"
            yield compared_over_trainings(what, "–", both)
    for epochs in lengths:
        for layer in burst["layer"].unique():
            of_layer = rows(burst, layer=layer, epochs=epochs)
            bursts = {arm: rows(of_layer, arm=arm) for arm in (SKIPPED, ZEROS)}
            what = f"{layer}: late burst, {epochs} epochs: no gradients, against gradients of zero"
            yield compared_over_trainings(what, "–", bursts)
            zeros = bursts[ZEROS]
            against = {"too late − late": zeros, "none": zeros.assign(value=0.0)}
            what = f"{layer}: late burst with gradients of zero, {epochs} epochs"
            yield compared_over_trainings(what, "–", against)


def notes(setup: Setup) -> list[str]:
    """The trainings, and the strength of the decay."""
    section, designed = setup.config.doses, DosesSection()
    complete = (section.lengths, section.length_trainings) == (
        designed.lengths,
        designed.length_trainings,
    )
    unfinished = [
        f"Not complete: the design has trainings of {', '.join(map(str, designed.lengths))} "
        f"epochs, {designed.length_trainings} of each. `python -m paper length --config "
        "configs/paper/digits.toml` goes on, from what is in its cache. With fewer than three "
        "trainings nothing is tested."
    ]
    return [
        *([] if complete else unfinished),
        f"Networks, images and first training as in “doses”. Then Σ learning rate × decay of the "
        f"gains is {DOSE * PAPER_SUM:.3g}, and gains learn as fast as synapses: {decays(setup)}. "
        f"{setup.config.doses.length_trainings} trainings of each; intervals and p are over "
        "trainings and images.",
        "The design, with its hypotheses and margin, is in docs/designs.md, and was written before "
        "the first run.",
    ]


def decays(setup: Setup) -> str:
    """Epochs, steps and decay of every length."""
    section, told = setup.config.doses, []
    for epochs in section.lengths:
        then = section.training.model_copy(update={"epochs": epochs})
        config = training_config(setup, 0).model_copy(update={"training": then})
        steps = steps_per_epoch(config)
        decay = decay_of(DOSE, then, steps)
        told.append(f"{epochs} epochs, {epochs * steps} steps with a decay of {decay:.2g}")
    return "; ".join(told)


def draw(setup: Setup, table: pd.DataFrame) -> None:
    """Late silence by layer, burst, spikes and accuracy over the length,
    a curve per layer or arm.
    """
    points = table.assign(x=table["epochs"].map(str))
    bounded = points["measure"].isin(SHARES)
    points = points.assign(
        low=points["low"].mask(bounded, points["low"].clip(lower=0.0)),
        high=points["high"].mask(bounded, points["high"].clip(upper=1.0)),
    )
    late = rows(points, measure=LATE, arm=SKIPPED)
    burst, right = rows(points, measure=BURST, layer="conv1"), rows(points, measure=RIGHT)
    panels = pd.concat(
        [
            late.assign(panel=f"{LATE}, with decay", curve=late["layer"]),
            burst.assign(panel=f"{BURST}, conv1", curve=burst["arm"]),
            right.assign(panel=RIGHT, curve=right["arm"]),
        ]
    )
    draw_curves(
        setup.out / "length.png",
        f"Σ learning rate × decay = {DOSE * PAPER_SUM:.2g} by trainings of several lengths",
        f"{setup.config.doses.length_trainings} trainings; bars: 95 % interval over trainings and "
        "images",
        panels,
        "epochs",
        "share",
        CurveOptions(joined=True, width=2.3),
    )
