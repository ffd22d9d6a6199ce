"""Fig. 6: localisation error, and spike rate over time, of a surrogate-trained and a converted
network.

The paper: (a) the surrogate-trained network has the lower error in every layer; (b) its spike rate
rises and falls from layer to layer, that of the converted network stays flat.

Measured: (a) localisation error against the ANN's Grad-CAM, minimum over the steps that can still
change the answer. The converted network has many more of these steps. So its minimum is also taken
over fewer of them, evenly spaced, as many as the surrogate-trained network has. A single step of
the converted network holds few spikes; so the error of the map summed over all steps is measured
too, for both networks. Maps are made with the kernel of the equations, with that of the authors'
script, and without a kernel (the spike count). What the paper leaves open is varied: the bound ε of
the logarithm, the authors' floor, the reference (the object itself) and the rule of conversion. (b)
Share of a layer's neurons that fire at each step. How much it varies is its standard deviation over
the steps from the image's arrival to the last that matters, relative to its mean, image by image.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from paper.common.errors_by_kernel import (
    EQUATIONS,
    ERROR,
    GRAD_CAM,
    KERNELS,
    maps_by_kernel,
    note_on_reference,
    targets,
    with_reference,
)
from paper.common.heatmaps import arrivals, convolutions, spike_rates
from paper.common.result import Claim, Result, compared, differences, judged, with_interval
from paper.common.setup import Setup
from paper.measures.inference import bootstrap_mean, paired_p_value
from paper.measures.maps import EPSILON, localisation_errors, lowest_errors
from paper.measures.over_time import peak, spike_rate, variation
from paper.measures.tables import groups, measured, measured_over_steps, paired, rows, summary
from spikesam import RasterReader
from spikesam.figures import CurveOptions, draw_curves, thinned

EPSILONS = (1e-7, EPSILON, 1e-2)
VARIATION, PEAK = "variation of the spike rate", "peak, share of the time"
ROOM = 1.25  # times the highest rate of the steps that matter: what is above hides them
ALL, FEWER, SUM = "all", "as many as the surrogate's", "sum of all"  # steps
COLUMNS = [
    "image",
    "measure",
    "network",
    "kernel",
    "floor",
    "against",
    "layer",
    "epsilon",
    "steps",
    "value",
]


def run(setup: Setup) -> Result:
    """Measure all networks on the setup's images."""
    paths = {
        name: setup.recording(network, setup.images)
        for name, network in setup.networks.by_rule.items()
    }
    with RasterReader(paths["surrogate"]) as raster:
        fewest = {layer: raster.steps_that_matter(layer) for layer in setup.layers(raster)}
    errors = pd.concat(
        [errors_of(setup, path, fewest).assign(network=name) for name, path in paths.items()]
    )[COLUMNS]
    rates = pd.concat([rates_of(path).assign(network=name) for name, path in paths.items()])
    rates = rates.assign(kernel="", floor="", against="", epsilon="", steps=ALL)
    rates = rates.sort_values("measure", key=lambda name: name == PEAK, kind="stable")
    table = summary(errors)
    papers = rows(errors, floor=0.0, against=GRAD_CAM)
    draw_errors(setup, table)
    draw_kernels(setup, rows(table, floor=0.0, against=GRAD_CAM, epsilon=EPSILON))
    draw_rates(setup, {name: paths[name] for name in setup.networks.both})
    claims = [
        *(
            claim
            for kernel in KERNELS
            for claim in error_claims(rows(papers, kernel=kernel, epsilon=EPSILON), kernel)
        ),
        *variation_claims(rates),
        *peak_claims(rates),
    ]
    notes = [
        note_on_epsilon(rows(papers, kernel=EQUATIONS)),
        *notes_on_cases(rows(errors, epsilon=EPSILON)),
        *notes_on_rules(rows(papers, epsilon=EPSILON), rates),
        note_on_reference(setup),
    ]
    whole = with_reference(setup, pd.concat([table, summary(rates[COLUMNS])]))
    every = pd.concat([errors, rates[COLUMNS]])
    return Result("Fig. 6: localisation error and spike rate", whole, claims, notes, every)


def errors_of(setup: Setup, path: Path, fewest: dict[str, int]) -> pd.DataFrame:
    """Localisation errors of a recording, over all steps that matter, over as many as `fewest`
    says, and of their sum.

    The fewer steps are evenly spaced. ε is varied without a floor and against Grad-CAM alone.
    """
    found, first, measured_against = [], arrivals(path), targets(setup)
    for kernel, image, layer, (maps,) in maps_by_kernel(setup, path, [setup.settings.gamma]):
        chosen = thinned(len(maps), max(1, fewest[layer] - first[layer]), first[layer])
        for against, floor, references in measured_against:
            for epsilon in EPSILONS if (against, floor) == (GRAD_CAM, 0.0) else (EPSILON,):
                options = {"epsilon": epsilon, "floor": floor}
                errors = {
                    ALL: lowest_errors(maps, references[image], **options),
                    FEWER: lowest_errors(maps[chosen], references[image], **options),
                    SUM: localisation_errors(maps.sum(axis=0), references[image], **options),
                }
                about = (image, ERROR, kernel, floor, against, layer, epsilon)
                found += [(*about, steps, float(error)) for steps, error in errors.items()]
    return pd.DataFrame(found, columns=[column for column in COLUMNS if column != "network"])


def rates_of(path: Path) -> pd.DataFrame:
    """How the spike rate of every convolution varies, and when it peaks, from the image's arrival
    on.
    """
    with RasterReader(path) as raster:
        parts = [
            measured(function(rates), measure=measure, layer=layer)
            for layer, rates in spike_rates(raster).items()
            for measure, function in ((VARIATION, variation), (PEAK, peak))
        ]
    return pd.concat(parts)


def error_claims(errors: pd.DataFrame, kernel: str) -> list[Claim]:
    """The converted network has the higher error: over all steps, over fewer, and of the summed
    map.
    """
    return [
        compared(
            f"{layer}, {kernel}: error of the converted network{told}",
            "higher",
            {
                "converted": rows(errors, network="converted", layer=layer, steps=steps),
                "surrogate": rows(
                    errors, network="surrogate", layer=layer, steps=SUM if steps == SUM else ALL
                ),
            },
        )
        for steps, told in (
            (ALL, ""),
            (FEWER, ", minimum over as many steps as the surrogate's"),
            (SUM, "; both maps summed over steps"),
        )
        for layer in errors["layer"].unique()
    ]


def variation_claims(rates: pd.DataFrame) -> list[Claim]:
    """The surrogate-trained network's spike rate varies more."""
    return [
        compared(
            f"{layer}: variation of the surrogate network's spike rate over time",
            "more than the converted network's",
            {
                name: rows(rates, measure=VARIATION, network=name, layer=layer)
                for name in ("surrogate", "converted")
            },
        )
        for layer in rates["layer"].unique()
    ]


def peak_claims(rates: pd.DataFrame) -> list[Claim]:
    """The surrogate-trained network's rate peaks later in deeper layers; the converted network's
    has no order.
    """
    first, last = rates["layer"].unique()[[0, -1]]
    claims = []
    for network, paper in (("surrogate", "later, layer by layer"), ("converted", "flat, no order")):
        peaks = [rows(rates, measure=PEAK, network=network, layer=layer) for layer in (last, first)]
        apart = paired(*peaks)
        delay = bootstrap_mean(apart)
        ours = (
            f"time of the peak, as a share of all steps; {last} − {first}: {with_interval(delay)}"
        )
        what = f"{network}: peak of the spike rate, in deeper layers"
        claim = judged(what, paper, ours, delay, paired_p_value(apart))
        if network == "converted" and delay.n > 1:
            claim = replace(
                claim, same="yes" if claim.same == "no difference seen" else "no", p=None
            )
        claims.append(claim)
    return claims


def note_on_epsilon(errors: pd.DataFrame) -> str:
    """How the direction of (a) depends on ε."""
    parts = []
    for epsilon in EPSILONS:
        of_epsilon = rows(errors, epsilon=epsilon, steps=ALL)
        told = differences(
            *(rows(of_epsilon, network=network) for network in ("converted", "surrogate"))
        )
        parts.append(f"at ε = {epsilon:g}: {told}")
    told = "; ".join(parts)
    return (
        f"Error of the converted network minus error of the surrogate's, {told}. Claims are at "
        f"ε = {EPSILON:g}."
    )


def notes_on_cases(errors: pd.DataFrame) -> list[str]:
    """The direction of (a) with the authors' floor, against the object, and without a kernel."""
    told = []
    for (against, floor, kernel), found in groups(
        rows(errors, steps=ALL), ["against", "floor", "kernel"]
    ):
        if (against, floor, kernel) != (GRAD_CAM, 0.0, EQUATIONS):
            apart = differences(
                *(rows(found, network=network) for network in ("converted", "surrogate"))
            )
            about = f"against {against}, {kernel}" + (f", floor {floor:g}" if floor else "")
            told.append(f"{about}: {apart}")
    return [
        "Error of the converted network minus error of the surrogate's, minimum over steps, "
        f"{'; '.join(told)}."
    ]


def notes_on_rules(papers: pd.DataFrame, rates: pd.DataFrame) -> list[str]:
    """Results under the other rules of conversion: errors, and how much the spike rate varies."""
    rules = [name for name in papers["network"].unique() if name not in ("surrogate", "converted")]
    told = []
    for steps in (ALL, FEWER, SUM):
        own = rows(
            papers, network="surrogate", kernel=EQUATIONS, steps=SUM if steps == SUM else ALL
        )
        apart = [
            f"{rule}: {differences(rows(papers, network=rule, kernel=EQUATIONS, steps=steps), own)}"
            for rule in rules
        ]
        told.append(
            f"Error minus the surrogate's, steps {steps}, by rule of conversion. "
            f"{'; '.join(apart)}."
        )
    varies = rows(rates, measure=VARIATION)
    own = rows(varies, network="surrogate")
    apart = [f"{rule}: {differences(own, rows(varies, network=rule))}" for rule in rules]
    told.append(
        "Variation of the surrogate's spike rate minus that of the converted one, by rule. "
        f"{'; '.join(apart)}."
    )
    return told if rules else []


def draw_errors(setup: Setup, table: pd.DataFrame) -> None:
    """A panel per ε, a curve per network and choice of steps; all axes alike, from 0."""
    shown = rows(table, measure=ERROR, kernel=EQUATIONS, floor=0.0, against=GRAD_CAM)
    parts = []
    for network, steps in (("surrogate", ALL), ("converted", ALL), ("converted", FEWER)):
        curve = network if steps == ALL else f"{network},\nas few steps"
        parts.append(rows(shown, network=network, steps=steps).assign(curve=curve))
    points = pd.concat(parts)
    points = points.assign(panel=points["epsilon"].map("ε = {:g}".format), x=points["layer"])
    images = shown["n"].max()
    subtitle = f"minimum over steps; mean over {images} images and 95 % interval; smaller is better"
    title, y = "Localisation error: surrogate against converted", "localisation error (nats)"
    limits = (0.0, 1.05 * points["high"].max())
    draw_curves(setup.out / "fig6.png", title, subtitle, points, "", y, CurveOptions(limits=limits))


def draw_kernels(setup: Setup, table: pd.DataFrame) -> None:
    """A panel per choice of steps, a dot per network, kernel and layer: whether a kernel matters
    beside the network.
    """
    shown = table[table["network"].isin(setup.networks.both) & (table["steps"] != FEWER)]
    points = shown.assign(
        curve=shown["network"] + ",\n" + shown["kernel"], panel=shown["steps"], x=shown["layer"]
    )
    points = points.assign(
        panel=points["panel"].map({ALL: "minimum over steps", SUM: "of the sum over steps"})
    )
    subtitle = f"mean over {len(setup.images)} images and 95 % interval; smaller is better"
    title, y = "Localisation error by kernel", "localisation error (nats)"
    draw_curves(
        setup.out / "fig6_kernel.png", title, subtitle, points, "", y, CurveOptions(alike=True)
    )


def draw_rates(setup: Setup, paths: dict[str, Path]) -> None:
    """A panel per network, a curve per convolution, dotted where spikes are too late; two where
    these hide the rest.
    """
    panels = []
    for name, path in paths.items():
        parts = []
        with RasterReader(path) as raster:
            for layer in convolutions(raster):
                rates = spike_rate(raster.counts(layer), raster.layer(layer).neurons)
                points = summary(measured_over_steps(rates))
                points = points.assign(panel=name, curve=layer, x=points["step"] / raster.timesteps)
                last = raster.steps_that_matter(layer)
                parts += [points[:last].assign(style="-"), points[last - 1 :].assign(style=":")]
        panels += without_burst(pd.concat(parts))
    subtitle = (
        f"mean over {len(setup.images)} images and 95 % interval; dotted: too late to "
        "change the answer"
    )
    x, y = "time (share of the steps)", "share of neurons that fire"
    draw_curves(
        setup.out / "fig6_rate.png", "Spike rate over time", subtitle, pd.concat(panels), x, y
    )


def without_burst(points: pd.DataFrame) -> list[pd.DataFrame]:
    """The points of a panel, and where late spikes are so many that they hide the rest, first those
    without them.
    """
    fit = (points["style"] == "-") | (
        points["mean"] <= ROOM * points["mean"][points["style"] == "-"].max()
    )
    if fit.all():
        return [points]
    fitting = points[fit]
    return [fitting.assign(panel=fitting["panel"] + ", without the late burst"), points]
