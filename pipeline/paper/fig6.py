"""Fig. 6: localisation error, and spike rate over time, of a surrogate-trained and a converted network.

The paper: (a) the surrogate-trained network has the lower error in every layer; (b) its spike rate rises and falls from
layer to layer, that of the converted network stays flat.

Measured: (a) localisation error against the ANN's Grad-CAM, minimum over the steps that can still change the answer.
The converted network has many more of these steps. So its minimum is also taken over fewer of them, evenly spaced, as
many as the surrogate-trained network has. A single step of the converted network holds few spikes; so the error of the
map summed over all steps is measured too, for both networks. The bound ε of the logarithm, which the paper does not
give, is varied. (b) Share of a layer's neurons that fire at each step. How much it varies is its standard deviation
over the steps from the image's arrival to the last that matters, relative to its mean, image by image.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from pipeline.drawing.curves import draw_curves
from pipeline.drawing.steps import thinned
from pipeline.measures.localisation_error import EPSILON, localisation_errors, lowest_errors
from pipeline.measures.over_time import peak, spike_rate, variation
from pipeline.measures.tables import difference, measured, rows, summary
from recordings.raster.reader import RasterReader

from .study.ann import reference_maps
from .study.claims import Claim, compared, differences, judged, with_interval
from .study.heatmaps import convolutions
from .study.result import Result
from .study.study import Study
from .study.sweep import arrivals, swept

EPSILONS = (1e-7, EPSILON, 1e-2)
ERROR, VARIATION, PEAK = "localisation error", "variation of the spike rate", "peak, share of the time"
ALL, FEWER, SUM = "all", "as many as the surrogate's", "sum of all"  # steps
COLUMNS = ["image", "measure", "network", "layer", "epsilon", "steps", "value"]


def run(study: Study) -> Result:
    """Measure both networks on the study's images."""
    paths = {name: study.recording(network, study.images) for name, network in study.networks.both.items()}
    fewest = steps_of_layers(study, paths["surrogate"])
    errors = pd.concat([errors_of(study, path, fewest).assign(network=name) for name, path in paths.items()])[COLUMNS]
    rates = pd.concat([rates_of(path).assign(network=name) for name, path in paths.items()])
    rates = rates.assign(epsilon="", steps=ALL).sort_values("measure", key=lambda name: name == PEAK, kind="stable")
    table = summary(pd.concat([errors, rates[COLUMNS]]))
    draw_errors(study, rows(table, measure=ERROR))
    draw_rates(study, paths)
    claims = [*error_claims(rows(errors, epsilon=EPSILON)), *variation_claims(rates), *peak_claims(rates)]
    return Result("Fig. 6: localisation error and spike rate", table, claims, [note_on_epsilon(errors)])


def steps_of_layers(study: Study, path: Path) -> dict[str, int]:
    """How many steps of each layer can still change the answer."""
    with RasterReader(path) as raster:
        return {layer: raster.steps_that_matter(layer) for layer in study.layers(raster)}


def errors_of(study: Study, path: Path, fewest: dict[str, int]) -> pd.DataFrame:
    """Localisation errors of a recording.

    Parameters
    ----------
    fewest : layer -> number of steps to which the minimum is also restricted

    Returns
    -------
    image, measure, layer, epsilon, steps, value; steps are all that matter, fewer of them, evenly spaced, or the sum
    """
    found, first = [], arrivals(path)
    reference = reference_maps(study, study.images)
    for image, layer, (maps,) in swept(study, path, [study.settings.gamma]):
        chosen = thinned(len(maps), max(1, fewest[layer] - first[layer]), first[layer])
        for epsilon in EPSILONS:
            errors = {
                ALL: lowest_errors(maps, reference[image], epsilon),
                FEWER: lowest_errors(maps[chosen], reference[image], epsilon),
                SUM: localisation_errors(maps.sum(axis=0), reference[image], epsilon),
            }
            found += [(image, layer, epsilon, steps, float(error)) for steps, error in errors.items()]
    return pd.DataFrame(found, columns=["image", "layer", "epsilon", "steps", "value"]).assign(measure=ERROR)


def rates_of(path: Path) -> pd.DataFrame:
    """How the spike rate of every convolution varies, and when it peaks: image, measure, layer, value.

    Steps count from the image's arrival to the last that matters.
    """
    parts = []
    first = arrivals(path)
    with RasterReader(path) as raster:
        for name in convolutions(raster):
            counts = raster.counts(name)[:, first[name] : raster.steps_that_matter(name)]
            rates = spike_rate(counts, raster.layer(name).neurons)
            for measure, function in ((VARIATION, variation), (PEAK, peak)):
                parts.append(measured(function(rates), measure=measure, layer=name))
    return pd.concat(parts)


def error_claims(errors: pd.DataFrame) -> list[Claim]:
    """The converted network has the higher error: over all steps, over fewer, and of the summed map."""
    return [
        compared(
            f"{layer}: error of the converted network{told}",
            "higher",
            {
                "converted": rows(errors, network="converted", layer=layer, steps=steps),
                "surrogate": rows(errors, network="surrogate", layer=layer, steps=SUM if steps == SUM else ALL),
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
            {name: rows(rates, measure=VARIATION, network=name, layer=layer) for name in ("surrogate", "converted")},
        )
        for layer in rates["layer"].unique()
    ]


def peak_claims(rates: pd.DataFrame) -> list[Claim]:
    """The surrogate-trained network's rate peaks later in deeper layers; the converted network's has no order."""
    first, *_, last = [*rates["layer"].unique()] * 2 if rates["layer"].nunique() == 1 else rates["layer"].unique()
    claims = []
    for network, paper in (("surrogate", "later, layer by layer"), ("converted", "flat, no order")):
        peaks = [rows(rates, measure=PEAK, network=network, layer=layer) for layer in (last, first)]
        delay = difference(*peaks)
        ours = f"time of the peak, as a share of all steps; {last} − {first}: {with_interval(delay)}"
        claim = judged(f"{network}: peak of the spike rate, in deeper layers", paper, ours, delay)
        if network == "converted" and delay.n > 1:
            claim = replace(claim, same="yes" if claim.same == "no difference seen" else "no", p=None)
        claims.append(claim)
    return claims


def note_on_epsilon(errors: pd.DataFrame) -> str:
    """How the direction of (a) depends on ε."""
    parts = []
    for epsilon in EPSILONS:
        of_epsilon = rows(errors, epsilon=epsilon, steps=ALL)
        told = differences(*(rows(of_epsilon, network=network) for network in ("converted", "surrogate")))
        parts.append(f"at ε = {epsilon:g}: {told}")
    told = "; ".join(parts)
    return f"Error of the converted network minus error of the surrogate's, {told}. Claims are at ε = {EPSILON:g}."


def draw_errors(study: Study, table: pd.DataFrame) -> None:
    """A panel per ε, a curve per network and choice of steps."""
    parts = []
    for network, steps in (("surrogate", ALL), ("converted", ALL), ("converted", FEWER)):
        curve = network if steps == ALL else f"{network},\nas few steps"
        parts.append(rows(table, network=network, steps=steps).assign(curve=curve))
    points = pd.concat(parts)
    points = points.assign(panel=points["epsilon"].map("ε = {:g}".format), x=points["layer"])
    subtitle = f"minimum over steps; mean over {len(study.images)} images and 95 % interval; smaller is better"
    title, y = "Localisation error: surrogate against converted", "localisation error (nats)"
    draw_curves(study.out / "fig6.png", title, subtitle, points, "", y)


def draw_rates(study: Study, paths: dict[str, Path]) -> None:
    """A panel per network, a curve per convolution, dotted where spikes are too late."""
    parts = []
    for name, path in paths.items():
        with RasterReader(path) as raster:
            for layer in convolutions(raster):
                rates = spike_rate(raster.counts(layer), raster.layer(layer).neurons)
                points = summary(pd.concat([measured(rate, step=step) for step, rate in enumerate(rates.T)]))
                points = points.assign(
                    panel=f"{name}, {raster.timesteps} steps", curve=layer, x=points["step"] / raster.timesteps
                )
                last = raster.steps_that_matter(layer)
                parts += [points[:last].assign(style="-"), points[last - 1 :].assign(style=":")]
    subtitle = f"mean over {len(study.images)} images and 95 % interval; dotted: too late to change the answer"
    x, y = "time (share of the steps)", "share of neurons that fire"
    draw_curves(study.out / "fig6_rate.png", "Spike rate over time", subtitle, pd.concat(parts), x, y)
