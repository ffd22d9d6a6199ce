"""Beyond the paper: decay of BNTT's gains, dose by dose, and the burst of spikes at the end of a
recording.

Compared are six doses, from none to four times the paper's, if that had batches of 32 images, which
it does not say; with batches of 128 its dose is 0.25 here. Each has several trainings. SGD shrinks
a parameter of which the loss knows nothing by learning rate × decay at every step. With a share
η_n·λ_n at step n it keeps exp(-Σ η_n·λ_n) of its size, with momentum 0.9 exp(-10·Σ). The dose is
this sum, in units of the sum of the paper's recipe, whose momentum is the same. (Where η·λ is above
0.0026, momentum lags behind: a gain swings through zero as it shrinks, by at most 5 % a step.)

Networks are small and trainings short, so the decay is stronger than the paper's. The dose is what
a long and weak decay and a short and strong one share. Two things they do not share. A gain that
matters settles where gradient and decay balance, which depends on λ alone. So gains get a learning
rate of their own, `rate` times that of the synapses: it gives the same dose by a decay `rate` times
weaker. And in the paper's recipe a free gain takes 2,000 steps to shrink to 1/e, in which a network
learns; in a short training with as large a dose it takes few, and a network that has not learnt
anything falls silent before it does. So networks first learn without decay, and get the dose
afterwards. The rest of the recipe is the paper's: SGD with momentum 0.9, its schedule as far as few
epochs allow, and decay 5·10⁻⁴ of all weights. The network of the last epoch counts, which got the
whole dose.

Measured on validation images: the share of neurons that fire, step by step; the share of *silent*
steps, in which fewer than 1 % of a layer's neurons fire, in the first and the last third of the
steps from the image's arrival to the last that can still change the answer; spikes; accuracy, where
an image without an answer counts as wrong.

Steps that come too late to change the answer get no gradient. An optimizer skips a parameter
without gradient, so their gains do not decay, and the rate jumps there: the late burst. torch's
`DataParallel` hands gradients of zero to the optimizer instead, if it has two devices or more. So
one dose is trained with such zeros, too.

Intervals are over trainings and images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from paper.common.images import prepare
from paper.common.result import Claim, Result, compared_over_trainings
from paper.common.settings import PAPER_SUM
from paper.common.setup import Setup, described, described_data, remove_leftovers, train_in
from paper.measures.over_time import spike_rate
from paper.measures.tables import (
    groups,
    measured,
    measured_over_steps,
    rows,
    summary_over_trainings,
)
from spikesam import Checkpoint, InputError, RasterReader, load, save
from spikesam.data import choose_samples
from spikesam.figures import GREY, PALETTE, CurveOptions, draw_curves
from spikesam.settings import Config, TrainingSection
from spikesam.training import network_of_epoch, step_milestones, steps_per_epoch

SILENT = 0.01  # share of a layer's neurons: a step at which fewer fire is silent
ONE = 1.0  # the paper's dose, at which zeros for gradients are tried
RATE, RIGHT, SPIKES, BURST = "spike rate", "accuracy", "spikes of one image", "late burst"
EARLY, LATE, CHANCE = "silent steps, early", "silent steps, late", "chance"
ABOUT = ["dose", "gradients", "rate"]  # of a treatment
SHARES = (RIGHT, EARLY, LATE)
FIG5 = {EARLY: "zero, then active", LATE: "active, then zero"}
Gradients = Literal["none", "zero"]  # of what no answer hears of, as the optimizer gets them
PAPER_DECAY, PAPER_BATCH = 5e-4, 32  # the batch is assumed


def run(setup: Setup) -> Result:
    """Train, or find trained, and compare."""
    section = setup.config.doses
    doses = sorted({0.0, ONE, *section.doses})
    if doses[0] < 0:
        raise InputError(f"doses.doses: got {doses[0]:g}, expected numbers ≥ 0")
    found = pd.concat(list(measurements(setup, doses)))
    found = found[["image", *ABOUT, "training", "measure", "layer", "step", "value"]]
    table = summary_over_trainings(found, SHARES)
    draw(setup, table)
    claims = [
        *silence_claims(found),
        *price_claims(found, doses),
        *burst_claims(found),
        *rate_claims(found),
    ]
    every = found[found["measure"] != RATE]  # step by step they would fill megabytes
    return Result(
        "Decay of BNTT's gains, dose by dose",
        table,
        claims,
        notes(setup, found),
        every,
        networks={},
    )


def treatments(setup: Setup, doses: list[float]) -> list[Treatment]:
    """All doses alike; the paper's with gradients of zero; and some by other learning rates of the
    gains.
    """
    section = setup.config.doses
    alike = [Treatment(dose, "none", section.rate) for dose in doses]
    return [
        *alike,
        Treatment(ONE, "zero", section.rate),
        *(
            Treatment(dose, "none", rate)
            for rate in section.other_rates
            for dose in section.other_doses
        ),
    ]


def training_config(setup: Setup, seed: int) -> Config:
    """Data, network and first training of one training, of whatever dose."""
    section, data = setup.config.doses, setup.config.data
    size = {
        "height": section.side,
        "width": section.side,
        "classes": section.classes or data.classes,
        "train_scenes": section.train_scenes,
    }
    training = section.first.model_copy(update={"seed": section.first.seed + seed})
    return Config(data=data.model_copy(update=size), network=section.network, training=training)


def measurements(setup: Setup, doses: list[float]) -> Iterator[pd.DataFrame]:
    """Training by training, so that all doses of the first come first."""
    for training in range(setup.config.doses.trainings):
        for each in treatments(setup, doses):
            found = measure(setup, treated(setup, training, each))
            yield found.assign(**{name: getattr(each, name) for name in ABOUT}, training=training)


def treated(setup: Setup, training: int, treatment: Treatment) -> Checkpoint:
    """The network of one training that got a treatment."""
    then = setup.config.doses.training
    then = then.model_copy(update={"seed": then.seed + training})
    return dosed(setup, training_config(setup, training), then, treatment)


def measure(setup: Setup, checkpoint: Checkpoint) -> pd.DataFrame:
    """Measures of one network on the validation images: image, measure, layer, step, value."""
    with RasterReader(recorded(setup, checkpoint)) as raster:
        parts = [
            measured(raster.predictions == raster.samples.label, measure=RIGHT, layer="", step="")
        ]
        spent = np.zeros(raster.n_samples)
        for layer in raster.layers:
            if layer.kind == "input":
                continue
            counts, matter = raster.counts(layer), raster.steps_that_matter(layer)
            spent += counts[:, :matter].sum(axis=1)
            parts += of_layer(spike_rate(counts, layer.neurons), layer.name, layer.number, matter)
    return pd.concat([*parts, measured(spent, measure=SPIKES, layer="", step="")])


def recorded(setup: Setup, checkpoint: Checkpoint) -> Path:
    """A recording of the validation images."""
    data, images = setup.config.data, setup.config.doses.images
    chosen = choose_samples(data.source, checkpoint, images, setup.settings.seed, data.download)
    return setup.recording(checkpoint.network, prepare(chosen))


def of_layer(
    rates: NDArray[np.float64], layer: str, arrival: int, matter: int
) -> list[pd.DataFrame]:
    """Rates, silence and late burst of a layer, from rates (N, T), between its arrival and the last
    that matters.
    """
    early, _, late = np.array_split(rates[:, arrival:matter], 3, axis=1)
    values = {EARLY: (early < SILENT).mean(axis=1), LATE: (late < SILENT).mean(axis=1)}
    if matter < rates.shape[1]:
        values[BURST] = rates[:, matter:].mean(axis=1) - late.mean(axis=1)
    over_steps = measured_over_steps(rates).assign(measure=RATE, layer=layer)
    return [
        over_steps,
        *(measured(each, measure=name, layer=layer, step="") for name, each in values.items()),
    ]


def alike(found: pd.DataFrame, dose: float, **conditions: object) -> pd.DataFrame:
    """The rows of a dose, of those treatments that differ in the dose alone: the first in the
    table.
    """
    of_dose = rows(found, dose=dose, gradients="none", **conditions)
    return rows(of_dose, rate=of_dose["rate"].iloc[0])


def silence_claims(found: pd.DataFrame) -> list[Claim]:
    """Layer by layer, the paper's dose silences early and late steps."""
    layers = [layer for layer in found["layer"].unique() if layer]
    return [
        compared_over_trainings(
            f"{layer}: share of {when} at the paper's dose",
            paper,
            {
                f"dose {dose:g}": alike(found, dose, measure=when, layer=layer)
                for dose in (ONE, 0.0)
            },
        )
        for when, paper in FIG5.items()
        for layer in layers
    ]


def price_claims(found: pd.DataFrame, doses: list[float]) -> list[Claim]:
    """Spikes saved and accuracy lost by each dose, against none."""
    return [
        compared_over_trainings(
            f"{measure} without decay, against dose {dose:g}",
            "–",
            {f"dose {each:g}": alike(found, each, measure=measure) for each in (0.0, dose)},
        )
        for measure in (SPIKES, RIGHT)
        for dose in doses[1:]
    ]


def burst_claims(found: pd.DataFrame) -> list[Claim]:
    """At the paper's dose the rate jumps at steps that are too late, and does so less where their
    gains decay, too.
    """
    claims = []
    for layer in rows(found, measure=BURST)["layer"].unique():
        both = {
            "no gradients": alike(found, ONE, measure=BURST, layer=layer),
            "gradients of zero": rows(
                found, dose=ONE, gradients="zero", measure=BURST, layer=layer
            ),
        }
        for what, each in both.items():
            against = {"too late − late": each, "none": each.assign(value=0.0)}
            claims.append(compared_over_trainings(f"{layer}: late burst with {what}", "–", against))
        what = f"{layer}: late burst with no gradients, against gradients of zero"
        claims.append(compared_over_trainings(what, "–", both))
    return claims


def rate_claims(found: pd.DataFrame) -> list[Claim]:
    """The dose alone counts: late silence, spikes and accuracy are those of gains that learn at
    another rate.
    """
    measures = found[found["measure"].isin([LATE, SPIKES, RIGHT]) & (found["gradients"] == "none")]
    claims, usual = [], found["rate"].iloc[0]
    for (rate, dose, measure, layer), other in groups(
        measures, ["rate", "dose", "measure", "layer"]
    ):
        if rate != usual and dose > 0:
            own = rows(measures, rate=usual, dose=dose, measure=measure, layer=layer)
            rates = f"gains' rate {usual:g} against {rate:g}"
            what = f"{layer} {measure} at dose {dose:g}, {rates}".strip()
            both = {f"rate {usual:g}": own, f"rate {rate:g}": other}
            claims.append(compared_over_trainings(what, "–", both))
    return claims


def notes(setup: Setup, found: pd.DataFrame) -> list[str]:
    """Notes: the trainings, and the strength of the decay."""
    section, config = setup.config.doses, training_config(setup, 0)
    training = section.training
    steps = steps_per_epoch(config.model_copy(update={"training": training}))
    decays = ", ".join(
        f"{each.dose:g}{'' if each.rate == section.rate else f' by a rate of {each.rate:g}'}: "
        f"{decay_of(each.dose, training, steps, each.rate):.3g}"
        for each in treatments(setup, [*section.doses])
        if each.gradients == "none"
    )
    layers, classes = (
        ", ".join(map(str, section.network.layers)),
        section.classes or setup.config.data.classes,
    )
    return [
        f"Networks {layers}; T = {section.network.timesteps}; images of "
        f"{section.side}×{section.side}"
        f"{f' of {len(classes)} classes' if classes else ''}. First {section.first.epochs} epochs "
        f"without decay of the gains, then {training.epochs} epochs of {steps} steps of "
        f"{training.batch_size} images "
        f"with the dose. {section.trainings} trainings of each condition, measured on "
        f"{rows(found, measure=RIGHT)['image'].nunique()} validation images; intervals and p are "
        "over both.",
        f"Weight decay of the gains, whose learning rate is {section.rate:g} times that of the "
        f"synapses unless said otherwise, by dose: {decays}. The paper's is {PAPER_DECAY:g}, and "
        "its sum assumes batches of "
        f"{PAPER_BATCH}, which it does not give.",
        f"A step is silent where fewer than {SILENT:.0%} of a layer's neurons fire. Early and late "
        "are the first and the last third of the steps from the image's arrival to the last that "
        "can still change the answer. The late "
        "burst is the rate at the steps after these, minus the rate late. A network in which "
        "nothing fires gives no "
        "answer, which counts as a wrong one.",
    ]


def draw(setup: Setup, table: pd.DataFrame) -> None:
    """Silence, spikes and accuracy against the sum of decay; rates over time, by dose; and with
    gradients of zero.
    """
    section = setup.config.doses
    about = f"{section.trainings} trainings, {table['n'].max()} images; bands: 95 % interval"
    usual = rows(rows(table, gradients="none"), rate=section.rate)
    against = pd.concat([rows(usual, measure=measure) for measure in (EARLY, LATE, SPIKES, RIGHT)])
    against = against.assign(
        panel=against["measure"],
        curve=against["layer"].replace("", "all layers"),
        low=against["low"].clip(lower=0.0),
        high=against["high"].clip(upper=against["measure"].map({SPIKES: np.inf}).fillna(1.0)),
    )
    classes = section.classes or setup.config.data.classes
    guessed = rows(against, measure=RIGHT).assign(
        curve=CHANCE, mean=1 / len(classes) if classes else np.nan, faint=CHANCE, colour=GREY
    )
    colours = dict(zip(against["curve"].unique(), PALETTE, strict=False))
    against = against.assign(faint="", colour=against["curve"].map(colours))
    against = pd.concat([against, guessed.assign(low=np.nan, high=np.nan)])
    against = against.assign(x=PAPER_SUM * against["dose"])
    y = {
        EARLY: "share of the steps",
        LATE: "share of the steps",
        SPIKES: "spikes",
        RIGHT: "share of images",
    }
    marks = {PAPER_SUM / 4: "the paper's, if its\nbatches were of 128", PAPER_SUM: "if of 32"}
    x, options = (
        "Σ learning rate × decay of the gains",
        CurveOptions(width=2.3, marks=marks, logarithmic_x_from=PAPER_SUM / 4),
    )
    cut = f"{about}, of what is possible"
    draw_curves(
        setup.out / "doses.png", "Decay of BNTT's gains, dose by dose", cut, against, x, y, options
    )
    by_rate = rows(table[table["measure"].isin([LATE, SPIKES, RIGHT])], gradients="none")
    if by_rate["rate"].nunique() > 1:
        panels = (by_rate["measure"] + ": " + by_rate["layer"]).str.removesuffix(": ")
        by_rate = by_rate.assign(panel=panels, x=PAPER_SUM * by_rate["dose"])
        by_rate = by_rate.assign(curve=by_rate["rate"].map("gains' rate × {:g}".format))
        by_rate = by_rate[by_rate["dose"].isin(section.other_doses)]
        title = "Is it the dose alone? The same decay at other learning rates of the gains"
        draw_curves(
            setup.out / "doses_rates.png",
            title,
            about,
            by_rate,
            x,
            "share, or spikes",
            CurveOptions(width=2.3, logarithmic_x_from=PAPER_SUM / 4),
        )
    over_time = rows(usual, measure=RATE)
    over_time = over_time.assign(panel=(PAPER_SUM * over_time["dose"]).map("Σ = {:.2g}".format))
    draw_rates(
        setup,
        "doses_rate.png",
        "Spike rate by Σ learning rate × decay of the gains",
        about,
        over_time,
    )
    both = rows(rows(table, measure=RATE, dose=ONE), rate=section.rate)
    told = {"none": "no gradients too late", "zero": "gradients of zero"}
    burst = both.assign(panel=both["gradients"].map(told))
    draw_rates(
        setup,
        "doses_burst.png",
        f"The late burst, at Σ learning rate × decay = {PAPER_SUM:.2g}",
        about,
        burst,
    )


def draw_rates(setup: Setup, name: str, title: str, about: str, points: pd.DataFrame) -> None:
    """A curve per layer, dotted where it is too late to change the answer."""
    steps, layers = points["step"].max() + 1, list(points["layer"].unique())
    last = points["layer"].map(
        {layer: steps - len(layers) + number for number, layer in enumerate(layers)}
    )
    points = points.assign(curve=points["layer"], x=points["step"].astype(int))
    lines = pd.concat(
        [
            points[points["x"] <= last].assign(style="-"),
            points[points["x"] >= last].assign(style=":"),
        ]
    )
    dotted = f"{about}; dotted: too late to change the answer"
    options = CurveOptions(alike=True, width=2.0)
    draw_curves(
        setup.out / name, title, dotted, lines, "step", "share of neurons that fire", options
    )


@dataclass(frozen=True)
class Treatment:
    """Gains of one training."""

    dose: float  # in units of the paper's
    gradients: Gradients = (
        "none"  # which the optimizer skips, or "zero", which decay, too, as by torch's DataParallel
    )
    rate: float = 1.0  # learning rate of the gains, in units of the synapses'


def sum_of_rates(training: TrainingSection, steps: int) -> float:
    """Σ η_n, the learning rate summed over all steps of a training by SGD with the schedule
    "step".
    """
    if (training.optimizer, training.schedule) != ("sgd", "step"):
        raise InputError(
            f"dose: got optimizer {training.optimizer!r} with schedule {training.schedule!r}, "
            'expected "sgd" with "step", as in the paper'
        )
    ends = step_milestones(training.epochs)
    tenths = (sum(epoch >= end for end in ends) for epoch in range(training.epochs))
    return steps * training.learning_rate * sum(0.1**fallen for fallen in tenths)


def decay_of(dose: float, training: TrainingSection, steps: int, rate: float = 1.0) -> float:
    """λ, the weight decay by which gains get this dose in a training with so many steps per
    epoch.
    """
    return dose * PAPER_SUM / (rate * sum_of_rates(training, steps))


class TreatGains(lightning.Callback):
    """Trains BNTT's gains at their own rate, and hands them gradients of zero where there are none,
    if asked for.
    """

    def __init__(self, treatment: Treatment) -> None:
        self.treatment = treatment

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Set the rate, which the schedule goes on from; a training that is resumed has it
        already.
        """
        if trainer.global_step == 0:
            _, gains = trainer.optimizers[0].param_groups
            gains["lr"] *= self.treatment.rate

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        """Fill in the zeros."""
        if self.treatment.gradients == "zero":
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is None:
                        parameter.grad = torch.zeros_like(parameter)


def dosed(setup: Setup, first: Config, then: TrainingSection, treatment: Treatment) -> Checkpoint:
    """A network that has learnt without decay of its gains, and was then trained on with a dose of
    it; cached.

    It is the network at the end, which got the whole dose.
    """
    decay = decay_of(
        treatment.dose,
        then,
        steps_per_epoch(first.model_copy(update={"training": then})),
        treatment.rate,
    )
    start = learnt(setup, first)
    training = then.model_copy(update={"gain_decay": decay, "start": start})
    config = first.model_copy(update={"training": training})
    inputs = {
        "learnt": start.parent.name,
        "training": training.model_dump(mode="json", exclude={"workers", "start"}),
        "treatment": asdict(treatment),
    }

    def build(folder: Path) -> None:
        best = train_in(folder, config, setup.tracker.console, [TreatGains(treatment)])
        last = replace(best, network=network_of_epoch(config, folder / "epochs" / "last.ckpt"))
        save(last, folder / "checkpoint.safetensors")
        remove_leftovers(folder)

    return load(setup.cache.folder("dosed", inputs, build) / "checkpoint.safetensors")


def learnt(setup: Setup, config: Config) -> Path:
    """The last epoch of a training, for others to start from; trained once, then cached."""

    def build(folder: Path) -> None:
        train_in(folder, config, setup.tracker.console)
        (folder / "epochs" / "last.ckpt").rename(folder / "start.ckpt")
        remove_leftovers(folder)

    return (
        setup.cache.folder("learnt", described(config, described_data(config.data)), build)
        / "start.ckpt"
    )
