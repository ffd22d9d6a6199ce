"""Beyond the paper: does the time between spikes say more than their number?

The paper's map rests on it: neurons that fire in short intervals are to matter more than those that
fire as often in long ones. Images as Poisson spikes cannot test that, since there the number says
everything. Here are tasks whose classes have equal spike counts (:mod:`paper.common.timing_tasks`),
and small networks that solve them and that fail when each input neuron's spikes are put at other
steps. In the rasters of these networks SAM is set against the spike count, against SAM of shuffled
times, over γ, and beside relevance (:mod:`paper.common.timing_measures`).

Four questions are asked, each with comparisons that are judged together (Holm): is SAM better than
the count; is it so at the γ that is best on other samples; is it better than SAM of shuffled times;
and is relevance better than SAM? The first three are asked at the convolutions alone: at the input
every moment has a count of 0 or 1 and every place that fires does so equally often, so the count is
a random order there, and differences from it are only shown.

Every network of a task sees the same samples, and both could have been others: intervals are over
networks and samples (:func:`paper.measures.inference.bootstrap_over_networks`), and p-values have
the degrees of freedom of the networks. "Equal" is said only where two one-sided tests show that a
difference is smaller than `timing.margin`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from paper.common.heatmaps import COUNT, SAM
from paper.common.images import TimedSpikes
from paper.common.intervals import draw_intervals
from paper.common.result import LEVEL, Claim, Result, judged, over_family, with_interval
from paper.common.setup import Setup
from paper.common.timing_measures import (
    EARLIER,
    HIDDEN,
    LEFT_OUT,
    MOMENTS,
    NO_GAMMA,
    PLACES,
    RELEVANCE,
    SHUFFLED,
    Map,
    maps_of,
    measured_task,
    relevances,
)
from paper.common.timing_tasks import BINS, samples_of, timing_network
from paper.measures.inference import bootstrap_over_networks, equivalence_p_value, holm, p_value
from paper.measures.tables import by_training, groups, measured, rows, summary_over_trainings
from spikesam import Network, RasterReader
from spikesam.figures import (
    GREY,
    MARGIN,
    PALETTE,
    Cell,
    CurveOptions,
    Row,
    draw_curves,
    draw_maps,
    drawing,
)
from spikesam.maps import answers_of

RIGHT, RIGHT_SHUFFLED = "accuracy", "accuracy, times shuffled"
MEASURES = {
    LEFT_OUT: "leaving out",
    PLACES: "places",
    MOMENTS: "moments",
}  # that maps are compared by, in short
BETTER, BEST = "{} better than {} by", "SAM at the best γ"
KEYS = ["task", "layer", "measure", "map", "gamma"]
Values = NDArray[np.float64]  # (K, N): of network k on sample i
SHOWN, WIDE, HIGH, GAP = 4, 1.9, 2.0, 0.45  # classes in a picture of a task; inches
ABOUT = {
    "manifold": "Random manifolds: the quarter in blue fires at times that belong to the class",
    "latency": "Latency-coded digits: the more ink, the earlier the one spike of a place",
    "bursts": "Two shapes: the class is the one that fires in bursts (blue)",
    "regular": "Two shapes: the class is the one that fires regularly (blue)",
}
LAYER = "conv1"  # whose maps are shown


def run(setup: Setup) -> Result:
    """Train, record, measure, compare, draw."""
    settings = setup.config.timing
    right, found = [], []
    for task in settings.tasks:
        unseen = samples_of(task, "val", settings.accuracy_samples)
        samples = samples_of(task, "val", settings.samples)
        draw_task(setup, task, samples)
        for training in range(settings.tasks[task].trainings):
            network = timing_network(setup, task, settings.training.seed + training)
            about = {"task": task, "training": training}
            right += [each.assign(**about) for each in answered(setup, network, unseen)]
            found.append(measured_task(setup, network, samples).assign(**about))
            if training == 0:
                draw_maps_of(setup, task, network, samples)
    answers = pd.concat(right).assign(layer="", map="", gamma=NO_GAMMA)
    every = pd.concat([answers, *found])[["image", *KEYS, "training", "value"]]
    gains, claims = compared_maps(setup, every)
    draw(setup, gains)
    notes = (
        "Trainings: "
        f"{', '.join(f'{task} {settings.tasks[task].trainings}' for task in settings.tasks)}. n is "
        f"samples: {settings.accuracy_samples} unseen ones for the accuracy, {settings.samples} "
        "for the maps. Intervals and "
        "p-values are over trainings and samples.",
        f"γ = {setup.settings.gamma:g} unless said otherwise. Leaving out: Spearman's correlation "
        "of a map with what each place does by itself; higher is better. Deletion: the area under "
        "the probability of the answer; lower is "
        f"better; {settings.parts} parts of equal spikes, what is equal in a map in "
        f"{settings.ties} random orders. “"
        f"{HIDDEN}”: the mean of both.",
        f"“Equal”: two one-sided tests say that the difference is smaller than {settings.margin:g} "
        "(5 % level, Holm).",
        f"“{BEST}”: γ is chosen on every other sample, and the difference is measured on the rest.",
    )
    return Result(
        "Timing or counts? Tasks whose classes have equal spike counts",
        pd.concat([summary_over_trainings(every), gains]),
        claims,
        notes,
        every,
        samples="spikes of equal counts, four tasks",
        networks={},
    )


def answered(setup: Setup, network: Network, samples: TimedSpikes) -> list[pd.DataFrame]:
    """Accuracy of the network, and that with each input neuron's times shuffled; cached."""
    seed = setup.settings.seed

    def compute() -> dict[str, NDArray[Any]]:
        answer, found = answers_of(network), {}
        for measure, shown in ((RIGHT, samples), (RIGHT_SHUFFLED, samples.shuffled(seed))):
            (inputs,) = shown.encoded(range(len(shown)), network, seed, len(shown))
            assert isinstance(inputs, np.ndarray)
            found[measure] = answer(inputs).argmax(axis=1) == shown.table.label
        return found

    inputs = {"network": network.sha256, "samples": samples.sha256, "seed": seed}
    found = setup.cache.arrays("timing-answers", inputs, compute)
    return [measured(values, measure=measure) for measure, values in found.items()]


def compared_maps(setup: Setup, found: pd.DataFrame) -> tuple[pd.DataFrame, list[Claim]]:
    """How much better one map is than another: a row for each comparison, and the claims of all
    questions.

    Rows of claims have p of no difference and p of one of `timing.margin`, both adjusted in their
    family, and the outcome; relevance is not asked to equal SAM.
    """
    margin, shown = setup.config.timing.margin, []
    families: dict[tuple[str, str], list[tuple[dict[str, Any], Claim, float]]] = {}
    for (task, layer, measure), each in groups(
        found[found["measure"].isin(MEASURES)], ["task", "layer", "measure"]
    ):
        values = {names: by_training(of_map) for names, of_map in groups(each, ["map", "gamma"])}
        about, sign = (
            {"task": task, "layer": layer, "measure": measure},
            1 if measure == LEFT_OUT else -1,
        )
        for first, second, gamma, one, other in pairs(setup, values, measure, sign):
            gain = bootstrap_over_networks(sign * (one - other))
            row = about | {
                "map": BETTER.format(first, second),
                "gamma": gamma,
                "trainings": len(one),
                **gain._asdict(),
            }
            asked = first == RELEVANCE or (
                layer == HIDDEN and (first == BEST or gamma == setup.settings.gamma)
            )
            if not asked:
                shown.append(row)
                continue
            ours = (
                f"{first} {one.mean():.3g}, {second} {other.mean():.3g}; better by "
                f"{with_interval(gain)}"
            )
            what = f"{task}, {layer}, {measure}: {first} is better than {second}"
            claim = judged(
                what,
                "–" if first == RELEVANCE else "assumed",
                ours,
                gain,
                p_value(gain, len(one)),
            )
            same = 1.0 if first == RELEVANCE else equivalence_p_value(gain, margin, len(one))
            kind = first, SHUFFLED if second == EARLIER else second
            families.setdefault(kind, []).append((row, claim, same))
    claims = []
    for family in families.values():
        rows_of, claims_of, equal = zip(*family, strict=True)
        for row, claim, same in zip(
            rows_of, over_family(claims_of), holm(equal).tolist(), strict=True
        ):
            outcome = outcome_of(claim, same, margin)
            shown.append(
                row | {"p": claim.p, "p_holm": claim.p_holm, "p_equal": same, "outcome": outcome}
            )
            claims.append(
                replace(claim, ours=f"{claim.ours}: {outcome}", p=None)
            )  # judged in its family
    return pd.DataFrame(shown), claims


def pairs(
    setup: Setup, values: dict[Map, Values], measure: str, sign: int
) -> Iterator[tuple[str, str, float, Values, Values]]:
    """Maps to compare: names, γ, and their values (K, N)."""
    gammas, gamma, count = setup.config.timing.gammas, setup.settings.gamma, values[COUNT, NO_GAMMA]
    gammas = tuple(each for each in gammas if (SAM, each) in values)
    for each in gammas:
        yield SAM, COUNT, each, values[SAM, each], count
    best = max(gammas, key=lambda each: (sign * values[SAM, each][:, ::2]).mean())
    yield BEST, COUNT, best, values[SAM, best][:, 1::2], count[:, 1::2]
    shuffled = EARLIER if measure == MOMENTS else SHUFFLED
    yield SAM, shuffled, gamma, values[SAM, gamma], values[shuffled, gamma]
    yield RELEVANCE, SAM, gamma, values[RELEVANCE, NO_GAMMA], values[SAM, gamma]


def outcome_of(claim: Claim, p_equal: float, margin: float) -> str:
    """Verdict on a difference: better, worse, equal, or nothing; and whether it is smaller than the
    margin.
    """
    small = p_equal < LEVEL
    if claim.same in ("yes", "no"):
        word = "better" if claim.same == "yes" else "worse"
        return f"{word}, by less than {margin:g}" if small else word
    return "equal" if small else "open"


def draw_task(setup: Setup, task: str, samples: TimedSpikes) -> None:
    """One sample of each of the first classes: where it fires first, and every spike over time, a
    line per place.
    """
    labels, chosen = np.unique(samples.table.label, return_index=True)
    subtitle = (
        "Above: the grid, darker places fire earlier; blue decides, grey does not. Below: every "
        "spike, a line for each "
        "place. Every place that is drawn fires equally often, in every class."
    )
    with drawing(
        setup.out / f"timing_{task}.png",
        ABOUT[task],
        subtitle,
        MARGIN + 0.4 + SHOWN * (WIDE + GAP),
        5.4,
    ) as canvas:
        for number, (label, sample) in enumerate(zip(labels[:SHOWN], chosen[:SHOWN], strict=True)):
            x = MARGIN + 0.4 + number * (WIDE + GAP)
            spikes, deciding = samples.values[:, sample, 0], samples.deciding[sample]
            fires = spikes.any(axis=0)
            early = (
                1 - np.where(fires, spikes.argmax(axis=0), BINS) / BINS
            )  # 0 where silent, 1 for step 0
            colours = np.where(deciding[..., None], to_rgb(PALETTE[0]), 0.25)
            canvas.picture(
                x + 0.1, 1.1, 1.6, 1.6, 1 - (early * 0.85 + 0.15 * fires)[..., None] * (1 - colours)
            )
            canvas.text(x + 0.9, 1.03, f"class {label}", ha="center", fontsize=9)
            axes = canvas.axes(x, 2.85, WIDE, HIGH)
            places = [*np.argwhere(deciding), *np.argwhere(fires & ~deciding)]
            for place, (row, column) in enumerate(places):
                steps = np.flatnonzero(spikes[:, row, column])
                colour = PALETTE[0] if deciding[row, column] else GREY
                axes.plot(
                    steps,
                    np.full(len(steps), place),
                    "s",
                    color=colour,
                    markersize=160 / max(60, len(places)) / 2,
                )
            axes.set(xlim=(-0.5, BINS - 0.5), ylim=(-1, len(places)), xlabel="step", yticks=[])
            if number == 0:
                axes.set_ylabel("place")


def draw_maps_of(setup: Setup, task: str, network: Network, samples: TimedSpikes) -> None:
    """First samples, rightly answered ones if there are: what decides, and the maps of one layer,
    summed over steps.
    """
    grid, gamma = [], setup.settings.gamma
    with RasterReader(setup.recording(network, samples, precision="float32")) as raster:
        right = np.flatnonzero(raster.predictions == samples.table.label)
        for sample in (right if len(right) else np.arange(raster.n_samples))[:3].tolist():
            of_relevance = relevances(network, raster, sample)
            maps = maps_of(
                raster, LAYER, sample, of_relevance[LAYER], [gamma], gamma, setup.settings.seed
            )
            deciding, others = samples.deciding[sample], samples.others[sample]
            paint = np.where(
                deciding[..., None], to_rgb(PALETTE[0]), np.where(others[..., None], 0.6, 1.0)
            )
            cells = [Cell(image=paint)]
            for name in ((COUNT, NO_GAMMA), (SAM, gamma), (SHUFFLED, gamma), (RELEVANCE, NO_GAMMA)):
                total = np.maximum(maps[name].sum(axis=0), 0)
                cells.append(Cell(total / (total.max() or 1.0)))
            grid.append(Row(f"class {samples.table.label[sample]}", cells))
    columns = ["blue decides", COUNT, f"SAM, γ = {gamma:g}", "SAM, times\nshuffled", RELEVANCE]
    title = f"{task}: maps at {LAYER}, summed over steps"
    draw_maps(
        setup.out / f"timing_{task}_maps.png",
        title,
        "each map relative to its largest value",
        columns,
        grid,
    )


def draw(setup: Setup, table: pd.DataFrame) -> None:
    """Gains of SAM within the margin: a row of panels per measure, a column per task;
    and over γ.
    """
    margin, judged = setup.config.timing.margin, table[table["outcome"].notna()]
    names = {
        BETTER.format(SAM, COUNT): f"SAM, than {COUNT}",
        BETTER.format(SAM, SHUFFLED): "SAM, than times shuffled",
        BETTER.format(SAM, EARLIER): "SAM, than times shuffled",
    }
    parts = [rows(judged, map=each).assign(method=name) for each, name in names.items()]
    shown = pd.concat(parts)
    shown = pd.concat([rows(shown, measure=measure) for measure in MEASURES])
    shown = shown.assign(
        row=shown["measure"].map(MEASURES), column=shown["task"], series=shown["layer"]
    )
    about = (
        f"Better by so much, sample by sample, at the {HIDDEN}; right of 0 SAM is better. Grey: "
        f"within ± {margin:g}, which counts as none. {setup.config.timing.samples} samples through "
        "every training; 95 % intervals over both"
    )
    reach = 1.5 * margin
    draw_intervals(
        setup.out / "timing.png",
        "Timing or counts? SAM adds less than the margin",
        about,
        shown,
        (-margin, 0, margin),
        (-reach, reach),
        margin,
    )
    draw_gammas(setup, table)


def draw_gammas(setup: Setup, gains: pd.DataFrame) -> None:
    """Gain of SAM's kernel over the spike count at every γ, at the convolutions:
    a panel per task.
    """
    shown = rows(gains, map=BETTER.format(SAM, COUNT), layer=HIDDEN).sort_values(
        "gamma", kind="stable"
    )
    title = "What SAM adds to the spike count, over γ"
    for measure, name in MEASURES.items():
        points = rows(shown, measure=measure).rename(columns={"task": "panel", "layer": "curve"})
        points = points.assign(x=[f"{gamma:g}" for gamma in points["gamma"]])
        options = CurveOptions(joined=True, level=(0.0, COUNT), alike=True, width=2.2)
        about = f"{measure}; above 0 SAM is better; 95 % intervals over trainings and samples"
        draw_curves(
            setup.out / f"timing_gamma_{name.replace(' ', '_')}.png",
            title,
            about,
            points,
            "γ (1/step)",
            "better by",
            options,
        )
