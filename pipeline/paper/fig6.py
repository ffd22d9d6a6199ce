"""Fig. 6: localisation error, and spike rate over time, of a surrogate-trained and a converted network.

The paper: (a) the surrogate-trained network has the lower error in every layer; (b) its spike rate rises and falls from
layer to layer, that of the converted network stays flat.

Measured: (a) localisation error against the ANN's Grad-CAM, minimum over the steps that can still change the answer.
The converted network has many more of these to take a minimum over, so the same is asked of as many of its steps as the
other has, evenly spaced; and, since a single one of its steps holds few spikes, of the map summed over all of them, for
both networks. The bound ε of the logarithm, which the paper does not give, is varied. (b) Share of a layer's
neurons that fire at each step; how much it varies is its standard deviation over the steps from the image's arrival to
the last that matters, relative to its mean, image by image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.drawing.curves import draw_curves
from pipeline.drawing.steps import thinned
from pipeline.measures.attention import EPSILON, localisation_errors, lowest_errors, spike_rate
from pipeline.measures.statistics import bootstrap_mean, paired_difference
from recordings.raster.reader import RasterReader

from .study.heatmaps import convolutions
from .study.result import Claim, Result, verdict, with_interval
from .study.study import Study
from .study.sweep import swept

EPSILONS = (1e-7, EPSILON, 1e-2)
EVEN = "as many, evenly spaced"
SUMMED = "summed"
Values = dict[str, NDArray[np.float64]]  # layer -> (N,)


def run(study: Study) -> Result:
    """Measure both networks on the same images."""
    images, reference = study.images, study.reference(study.images)
    paths = {
        "surrogate": study.recording(study.surrogate.network, images),
        "converted": study.recording(study.converted.network, images),
    }
    with RasterReader(paths["surrogate"]) as raster:
        fewest = {layer: raster.steps_that_matter(layer) for layer in study.layers(raster)}
    errors = {name: errors_of(study, path, reference, fewest) for name, path in paths.items()}
    rates = {name: rates_of(path) for name, path in paths.items()}
    table = [
        _row("localisation error", name, layer, epsilon, steps, found)
        for name, of_network in errors.items()
        for (layer, epsilon, steps), found in of_network.items()
    ]
    variations = {name: {layer: variation(rate) for layer, rate in of.items()} for name, of in rates.items()}
    peaks = {name: {layer: peak(rate) for layer, rate in of.items()} for name, of in rates.items()}
    for what, measured in (("variation of the spike rate", variations), ("peak, share of the time", peaks)):
        for name, of_rates in measured.items():
            table += [_row(what, name, layer, "", "all", found) for layer, found in of_rates.items()]
    claims = [*_error_claims(errors), *_rate_claims(variations, peaks)]
    _draw_errors(study, errors)
    _draw_rates(study, paths)
    return Result("Fig. 6: localisation error and spike rate", table, claims, [_sensitivity(errors)])


def errors_of(
    study: Study, path: Path, reference: NDArray[np.float32], fewest: dict[str, int]
) -> dict[tuple[str, float, str], NDArray[np.float64]]:
    """Localisation errors of a recording.

    Parameters
    ----------
    fewest : layer -> number of steps to which the minimum is also restricted

    Returns
    -------
    (layer, ε, steps) -> (N,); steps are "all" that matter, "as many, evenly spaced", or all of them "summed"
    """
    found: dict[tuple[str, float, str], list[float]] = {}
    with RasterReader(path) as raster:
        numbers = {layer.name: layer.number for layer in raster.layers}
    for of_image, maps in zip(reference, swept(study, path, [study.settings.gamma]), strict=True):
        for layer, (of_layer,) in maps.items():
            arrival = min(numbers[layer], len(of_layer) - 1)
            chosen = thinned(len(of_layer), max(1, fewest[layer] - arrival), arrival)
            for epsilon in EPSILONS:
                found.setdefault((layer, epsilon, "all"), []).append(float(lowest_errors(of_layer, of_image, epsilon)))
                found.setdefault((layer, epsilon, EVEN), []).append(
                    float(lowest_errors(of_layer[chosen], of_image, epsilon))
                )
                summed = localisation_errors(of_layer.sum(axis=0), of_image, epsilon)
                found.setdefault((layer, epsilon, SUMMED), []).append(float(summed))
    return {key: np.array(values) for key, values in found.items()}


def rates_of(path: Path) -> Values:
    """Spikes per neuron and step of every convolution, from the image's arrival to the last step that matters.

    Returns
    -------
    layer -> (N, T')
    """
    with RasterReader(path) as raster:
        found = {}
        for name in convolutions(raster):
            layer, steps = raster.layer(name), raster.steps_that_matter(name)
            found[name] = spike_rate(raster.counts(layer)[:, min(layer.number, steps - 1) : steps], layer.neurons)
        return found


def variation(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over steps relative to the mean, 0 where there are no spikes: (N, T) -> (N,)."""
    means = rates.mean(axis=1)
    return np.divide(rates.std(axis=1), means, out=np.zeros_like(means), where=means > 0)


def peak(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """When most neurons fire, 0 at the first step and 1 at the last: (N, T) -> (N,)."""
    return rates.argmax(axis=1) / max(1, rates.shape[1] - 1)


def _row(
    what: str, network: str, layer: str, epsilon: float | str, steps: str, values: NDArray[np.float64]
) -> dict[str, Any]:
    about = {"what": what, "network": network, "layer": layer, "epsilon": epsilon, "steps": steps}
    return {**about, **bootstrap_mean(values)._asdict()}


def _error_claims(errors: dict[str, dict[tuple[str, float, str], NDArray[np.float64]]]) -> list[Claim]:
    claims = []
    for steps, of_surrogate, what in (
        ("all", "all", "error of the converted network"),
        (EVEN, "all", "the same, over as many steps as the other"),
        (SUMMED, SUMMED, "the same, of maps summed over steps"),
    ):
        for layer, epsilon, of_steps in errors["surrogate"]:
            if (epsilon, of_steps) != (EPSILON, steps):
                continue
            surrogate = errors["surrogate"][layer, epsilon, of_surrogate]
            converted = errors["converted"][layer, epsilon, steps]
            difference = paired_difference(converted, surrogate)
            ours = f"{converted.mean():.3g} against {surrogate.mean():.3g}: higher by {with_interval(difference)}"
            claims.append(Claim(f"{layer}: {what}", "higher", ours, verdict(difference), len(surrogate)))
    return claims


def _rate_claims(variations: dict[str, Values], peaks: dict[str, Values]) -> list[Claim]:
    claims = []
    for layer, surrogate in variations["surrogate"].items():
        converted = variations["converted"][layer]
        difference = paired_difference(surrogate, converted)
        ours = f"{surrogate.mean():.3g} against {converted.mean():.3g}: more by {with_interval(difference)}"
        what = f"{layer}: variation of the surrogate network's spike rate over time"
        claims.append(Claim(what, "more than the converted one's", ours, verdict(difference), len(surrogate)))
    for name, paper in (("surrogate", "later, layer by layer"), ("converted", "flat, no order")):
        first, *_, last = peaks[name] if len(peaks[name]) > 1 else [*peaks[name]] * 2
        delay = paired_difference(peaks[name][last], peaks[name][first])
        ours = f"{last} after {first} by {with_interval(delay)} of the time"
        found = verdict(delay)
        if name == "converted" and delay.n > 1:
            found = "yes" if found == "no difference seen" else "no"
        claims.append(Claim(f"{name}: peak of the spike rate, in deeper layers", paper, ours, found, delay.n))
    return claims


def _sensitivity(errors: dict[str, dict[tuple[str, float, str], NDArray[np.float64]]]) -> str:
    """How the direction of (a) depends on ε."""
    parts = []
    for epsilon in EPSILONS:
        differences = {
            layer: paired_difference(errors["converted"][layer, epsilon, "all"], surrogate)
            for (layer, of_epsilon, steps), surrogate in errors["surrogate"].items()
            if (of_epsilon, steps) == (epsilon, "all")
        }
        said = ", ".join(f"{layer} {with_interval(difference)}" for layer, difference in differences.items())
        parts.append(f"at ε = {epsilon:g}: {said}")
    return f"Converted minus surrogate error {'; '.join(parts)}. Claims are at ε = {EPSILON:g}."


def _draw_errors(study: Study, errors: dict[str, dict[tuple[str, float, str], NDArray[np.float64]]]) -> None:
    points = []
    for name, steps in (("surrogate", "all"), ("converted", "all"), ("converted", EVEN)):
        label = name if steps == "all" else f"{name},\nas few steps"
        for (layer, epsilon, of_steps), values in errors[name].items():
            if of_steps == steps:
                where = {"panel": f"ε = {epsilon:g}", "curve": label, "x": layer}
                points.append(where | bootstrap_mean(values)._asdict())
    subtitle = f"minimum over steps; mean over {len(study.images)} images and 95 % interval; smaller is better"
    title, y = "Localisation error: surrogate against converted", "localisation error (nats)"
    draw_curves(study.out / "fig6.png", title, subtitle, pd.DataFrame(points), "", y)


def _draw_rates(study: Study, paths: dict[str, Path]) -> None:
    parts = []
    for name, path in paths.items():
        with RasterReader(path) as raster:
            for layer in map(raster.layer, convolutions(raster)):
                rates = spike_rate(raster.counts(layer), layer.neurons).T
                points = pd.DataFrame([bootstrap_mean(step) for step in rates])
                points["x"] = points.index / raster.timesteps
                last = raster.steps_that_matter(layer.name)
                lines = [points[:last].assign(style="-"), points[last - 1 :].assign(style=":")]
                panel = f"{name}, {raster.timesteps} steps"
                parts.append(pd.concat(lines).assign(panel=panel, curve=layer.name))
    subtitle = f"mean over {len(study.images)} images and 95 % interval; dotted: too late to change the answer"
    x, y = "time (share of the steps)", "share of neurons that fire"
    draw_curves(study.out / "fig6_rate.png", "Spike rate over time", subtitle, pd.concat(parts), x, y)
