"""Do the maps depend on what was learnt? Weights are shuffled from the readout down; not in the
paper.

Every layer's map is correlated with the map of the trained network, image by image (Adebayo et al.
2018). SAM of a layer sees only the layers up to this one: shuffling the layers above cannot change
it. SNN-crafted Grad-CAM also sees the layers above. Maps are summed over the steps that can still
change the answer. The dashed line is the noise floor: the trained network with other Poisson
spikes.

BNTT's gains and biases hold the statistics of the trained weights' currents. With other weights
they fit no longer, and a map may change because its layer falls silent or fires all the time. So
shuffled layers are measured twice: with BNTT as learnt, and with its statistics estimated anew on
the images (the learnt scale stays). How often neurons fire stands beside both. A correlation is the
mean over several shuffles.

A network file holds gain and bias per channel and step, in which the statistics of training are
folded (Eq. 4): g = γ/√(σ² + ε), b = -g·μ. The learnt scale is γ = g·√(σ² + ε), with σ as measured.

References
----------
Adebayo et al. 2018, Sanity checks for saliency maps, arXiv:1810.03292, Section 3.1, cascading
randomisation. Kim & Panda 2020, Revisiting batch normalization for training low-latency deep SNNs
from scratch, arXiv:2010.01729.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from paper.common.heatmaps import sam_maps, snn_grad_cams, spike_rates
from paper.common.images import ImageSet
from paper.common.result import Claim, Result, judged, with_interval
from paper.common.setup import Setup
from paper.measures.inference import bootstrap_mean, paired_p_value
from paper.measures.maps import pearson
from paper.measures.tables import groups, measured, paired, rows, summary, values
from spikesam import InputError, Layer, Network, RasterReader
from spikesam.errors import at
from spikesam.figures import CurveOptions, draw_curves
from spikesam.gradients import DifferentiableNetwork, fire
from spikesam.simulators import PackedSpikes
from spikesam.training import BNTT_EPSILON

TRAINED, FLOOR, READOUT = "trained", "nothing, other spikes", "readout"
DOWN_TO = "shuffled down to"
LEARNT, ANEW = "BNTT as learnt", "BNTT estimated anew"
CORRELATION, RATE = "correlation", "spike rate"
Maps = dict[tuple[str, str], NDArray[np.float64]]  # (map, layer) -> (N, h, w), summed over time


def run(setup: Setup) -> Result:
    """Shuffle, record, compare."""
    settings = setup.settings
    images, network = setup.images.take(settings.randomised), setup.networks.surrogate.network
    trained = summed_maps(setup, network, images, settings.seed)
    parts = [correlations(trained, trained).assign(**{DOWN_TO: TRAINED}, bntt=LEARNT, shuffle=0)]
    parts.append(rates(setup, network, images).assign(**{DOWN_TO: TRAINED}, bntt=LEARNT, shuffle=0))
    with setup.progress(
        "shuffling weights", settings.shuffles * (len(network.layers) + 1)
    ) as advance:
        for shuffle in range(settings.shuffles):
            for name, bntt, shuffled in shuffles(setup, network, images, settings.seed + shuffle):
                maps = summed_maps(setup, shuffled, images, settings.seed)
                both = pd.concat([correlations(trained, maps), rates(setup, shuffled, images)])
                parts.append(both.assign(**{DOWN_TO: name}, bntt=bntt, shuffle=shuffle))
                advance(bntt == LEARNT)
    again = correlations(trained, summed_maps(setup, network, images, settings.seed + 1))
    parts.append(again.assign(**{DOWN_TO: FLOOR}, bntt=LEARNT, shuffle=0))
    every = pd.concat(parts)
    by = ["measure", DOWN_TO, "bntt", "map", "layer"]
    found = every.groupby(["image", *by], sort=False)["value"].mean().reset_index()
    table = summary(found, settings.seed)
    draw(setup, table)
    maps_found = rows(found, measure=CORRELATION)
    claims = [
        claim
        for _, each in groups(maps_found, ["map", "layer"])
        for claim in claims_of(each, settings.seed)
    ]
    notes = [
        "SAM of a layer cannot depend on the layers above it, the readout least of all. It shows "
        "what the layer attends to, not what the answer rests on.",
        note_on_rates(rows(table, measure=RATE)),
        note_on_shuffles(rows(every, measure=CORRELATION)),
    ]
    return Result(
        "Randomisation: do the maps depend on what was learnt?", table, claims, notes, found
    )


def shuffles(
    setup: Setup, network: Network, images: ImageSet, seed: int
) -> Iterator[tuple[str, str, Network]]:
    """The network shuffled layer by layer from above: the layer shuffled last, what BNTT holds, and
    the network.

    Where the readout alone is shuffled, BNTT's statistics are those of the trained network, and
    nothing is estimated.
    """
    (batch,) = images.encoded(range(len(images)), network, setup.settings.seed, len(images))
    spikes = batch.unpacked() if isinstance(batch, PackedSpikes) else batch
    inputs: Tensor = torch.from_numpy(spikes).to(torch.float32)
    scales = learnt_scales(network, current_moments(network, inputs))
    for position, (name, shuffled) in enumerate(randomise_from_top(network, seed)):
        yield name, LEARNT, shuffled
        if name != READOUT:
            yield (
                name,
                ANEW,
                renormalised(shuffled, inputs, scales, first=len(network.layers) - position),
            )


def summed_maps(setup: Setup, network: Network, images: ImageSet, seed: int) -> Maps:
    """SAM and SNN-crafted Grad-CAM of every image and layer of interest, summed over time."""
    found: Maps = {}
    with RasterReader(setup.recording(network, images, seed=seed)) as raster:
        gradients = snn_grad_cams(setup, images, raster, network, seed)
        for layer in setup.layers(raster):
            maps = [
                sam_maps(raster, layer, sample, setup.settings.gamma)
                for sample in range(raster.n_samples)
            ]
            found["SAM", layer] = np.stack([each.sum(axis=0, dtype=np.float64) for each in maps])
            found["SNN Grad-CAM", layer] = gradients[layer].sum(axis=1, dtype=np.float64)
    return found


def correlations(trained: Maps, other: Maps) -> pd.DataFrame:
    """Pearson's correlation of maps with those of the trained network: image, measure, map, layer,
    value.
    """
    parts = [
        measured(
            [pearson(*both) for both in zip(maps, other[name, layer], strict=True)],
            measure=CORRELATION,
            map=name,
            layer=layer,
        )
        for (name, layer), maps in trained.items()
    ]
    return pd.concat(parts)


def rates(setup: Setup, network: Network, images: ImageSet) -> pd.DataFrame:
    """Share of a convolution's neurons that fire, mean over the steps that matter from the image's
    arrival.
    """
    with RasterReader(setup.recording(network, images)) as raster:
        found = spike_rates(raster)
    return pd.concat(
        [
            measured(each.mean(axis=1), measure=RATE, map="", layer=layer)
            for layer, each in found.items()
        ]
    )


def claims_of(found: pd.DataFrame, seed: int) -> list[Claim]:
    """One map in one layer changes when every weight is shuffled, whatever BNTT holds, or the
    readout alone.
    """
    where = f"{found['map'].iloc[0]}, {found['layer'].iloc[0]}"
    everything = [name for name in found[DOWN_TO].unique() if name not in (TRAINED, FLOOR)][-1]
    floor = rows(found, **{DOWN_TO: FLOOR})
    claims = []
    for down_to, bntt, what in (
        (everything, LEARNT, f"every weight is shuffled, {LEARNT}"),
        (everything, ANEW, f"every weight is shuffled, {ANEW}"),
        (READOUT, LEARNT, "the readout is shuffled"),
    ):
        shuffled = rows(found, **{DOWN_TO: down_to}, bntt=bntt)
        apart = paired(floor, shuffled)
        loss = bootstrap_mean(apart, seed)
        ours = f"correlation {with_interval(bootstrap_mean(values(shuffled), seed))}"
        ours += f"; noise floor − correlation: {with_interval(loss)}"
        claims.append(
            judged(f"{where}: changes when {what}", "–", ours, loss, paired_p_value(apart))
        )
    return claims


def note_on_rates(table: pd.DataFrame) -> str:
    """How often neurons fire, trained and with every weight shuffled."""
    everything = list(table[DOWN_TO].unique())[-1]
    told = []
    for name, about in (
        ("trained", {DOWN_TO: TRAINED}),
        (f"every weight shuffled, {LEARNT}", {DOWN_TO: everything, "bntt": LEARNT}),
        (f"every weight shuffled, {ANEW}", {DOWN_TO: everything, "bntt": ANEW}),
    ):
        found = rows(table, **about)
        each = ", ".join(
            f"{layer} {mean:.3f}" for layer, mean in zip(found["layer"], found["mean"], strict=True)
        )
        told.append(f"{name}: {each}")
    return f"Share of a layer's neurons that fire at a step. {'; '.join(told)}."


def note_on_shuffles(every: pd.DataFrame) -> str:
    """How much the mean correlation depends on the shuffle."""
    by_shuffle = every.groupby([DOWN_TO, "bntt", "map", "layer", "shuffle"], sort=False)[
        "value"
    ].mean()
    spread = by_shuffle.groupby(level=[0, 1, 2, 3]).agg(lambda means: means.max() - means.min())
    count = int(every["shuffle"].max()) + 1
    return (
        f"Of {count} shuffles, the mean correlations of one map and layer lie apart by "
        f"{spread.max():.2f} at most, and "
        f"by {spread[spread > 0].median() if (spread > 0).any() else 0:.2f} in the median case."
    )


def draw(setup: Setup, table: pd.DataFrame) -> None:
    """A panel per kind of map and of BNTT, a colour per layer; dashed: the noise floor. And the
    spike rates.
    """
    about = (
        f"weights shuffled from the readout down; {table['n'].max()} images, "
        f"{setup.settings.shuffles} shuffles"
    )
    points = table.rename(columns={"layer": "curve", DOWN_TO: "x"})
    maps = rows(points, measure=CORRELATION)
    everything = [name for name in maps["x"].unique() if name not in (TRAINED, FLOOR)][-1]
    lines = []
    for kind in maps["map"].unique():
        for bntt in (LEARNT, ANEW):
            of_kind = rows(maps, map=kind)
            shown = of_kind[of_kind["x"].isin([TRAINED, READOUT]) | (of_kind["bntt"] == bntt)]
            panel = {"panel": f"{kind}, {bntt}"}
            lines.append(shown[shown["x"] != FLOOR].assign(style="-", **panel))
            floor = rows(of_kind, x=FLOOR)
            lines += [
                floor.assign(x=end, low=np.nan, high=np.nan, style="--", **panel)
                for end in (TRAINED, everything)
            ]
    title, y = "Do the maps depend on what was learnt?", "correlation with the trained map"
    subtitle = f"{about}; dashed: trained, other spikes"
    drawn = pd.concat(lines)
    options = CurveOptions(joined=True, alike=True)
    draw_curves(setup.out / "randomisation.png", title, subtitle, drawn, "", y, options)
    fired = rows(points, measure=RATE)
    drawn = pd.concat(
        [
            fired[fired["x"].isin([TRAINED, READOUT]) | (fired["bntt"] == bntt)].assign(panel=bntt)
            for bntt in (LEARNT, ANEW)
        ]
    )
    title, y = "How often neurons fire", "share of neurons that fire at a step"
    draw_curves(setup.out / "randomisation_rate.png", title, about, drawn, "", y, options)


Floats = NDArray[np.float64]


class Moments(NamedTuple):
    """Mean and variance of a layer's currents over images and pixels, both (T - 1, C) float64:
    steps 1 … T - 1.
    """

    mean: Floats
    variance: Floats


def current_moments(network: Network, inputs: Tensor) -> list[Moments]:
    """Moments of what each synapse layer hands its neurons, for inputs (T, B, C, H, W) float32 of 0
    and 1.
    """
    found = []
    with torch.no_grad():
        fired = {"input": inputs}
        layers: Any = DifferentiableNetwork(network).layers
        for layer, module in zip(network.layers, layers, strict=True):
            currents = module.currents(fired)
            found.append(_moments(currents))
            fired[layer.name] = fire(module.neuron, module.gain, currents)
    return found


def learnt_scales(network: Network, moments: Sequence[Moments]) -> list[Floats]:
    """BNTT's γ of every layer, (T - 1, C), as far as the currents have the spread that they had in
    training.

    A channel to which no current comes at a step has √ε·g there, practically 0: its gain does
    nothing.
    """
    scales = []
    for layer, (_, variance) in zip(network.layers, moments, strict=True):
        gain = layer.inputs[0].gain
        steps = np.arange(len(variance)) % len(
            gain
        )  # a converted network has one gain for all steps
        scales.append(gain[steps] * np.sqrt(variance + BNTT_EPSILON))
    return scales


def renormalised(
    network: Network, inputs: Tensor, scales: Sequence[Floats], first: int = 0
) -> Network:
    """The network with BNTT's statistics estimated on these inputs, layer after layer, from the
    layer `first` on.
    """
    with at("BNTT"):
        network.check_chain()
    layers, fired = list(network.layers), {"input": inputs}
    modules: Any = DifferentiableNetwork(network).layers
    with torch.no_grad():
        for position, (module, scale) in enumerate(zip(modules, scales, strict=True)):
            currents = module.currents(fired)
            if position >= first:
                layers[position] = _with_statistics(
                    layers[position], scale, _moments(currents), network.timesteps
                )
            layer = layers[position]
            fired[module.name] = fire(layer.spiking_neuron, layer.inputs[0].gain, currents)
    return replace(network, layers=tuple(layers))


def _with_statistics(layer: Layer, scale: Floats, moments: Moments, timesteps: int) -> Layer:
    """A layer whose gain and bias fold other statistics."""
    neuron, (given,) = layer.spiking_neuron, layer.inputs
    if len(given.gain) != timesteps:
        raise InputError(f"BNTT: {layer.name} has no gain per step, expected a network with BNTT")
    gain, bias = (np.array(each, np.float64) for each in (given.gain, neuron.bias))
    gain[:-1] = scale / np.sqrt(
        moments.variance + BNTT_EPSILON
    )  # the last one is for a step that never comes
    bias[:-1] = -gain[:-1] * moments.mean
    return Layer(layer.name, replace(given, gain=gain), replace(neuron, bias=bias))


def _moments(currents: Tensor) -> Moments:
    """Of (T - 1, B, C, H, W) or (T - 1, B, C, 1, 1), one step at a time, in double precision."""
    steps = [torch.var_mean(step.double(), dim=(0, 2, 3), correction=0) for step in currents]
    variance, mean = (torch.stack(each).cpu().numpy() for each in zip(*steps, strict=True))
    return Moments(mean, variance)


def randomise_from_top(network: Network, seed: int) -> Iterator[tuple[str, Network]]:
    """Shuffle the readout's weights, then also the last layer's, …: name of the layer shuffled
    last, and the network.

    The source draws new weights from the initial distribution. Here each layer's weights are
    permuted, over all of its channels: their distribution stays, and with it about as many spikes,
    so that a map does not change merely because its layer has fallen silent. In the first layer the
    OFF planes keep the negated weights of the ON planes, which encode signed spikes. The
    permutation of a layer depends on `seed` and the layer's number alone.
    """
    if network.precision != "float32":
        raise InputError(
            "randomise_from_top: got a network in fixed point, expected float32; quantise it "
            "afterwards"
        )
    readout = replace(
        network.readout, weight=_shuffled(network.readout.weight, seed, len(network.layers) + 1)
    )
    network = replace(network, readout=readout)
    yield "readout", network
    layers = list(network.layers)
    for position in reversed(range(len(layers))):
        first, *more = layers[position].inputs
        first = first.weighed(partial(_randomised, seed=seed, number=position + 1))
        layers[position] = replace(layers[position], inputs=(first, *more))
        network = replace(network, layers=tuple(layers))
        yield layers[position].name, network


def _randomised(weight: NDArray[Any], seed: int, number: int) -> NDArray[Any]:
    """Shuffled weights of the layer of a number; those of ON and OFF planes stay opposite."""
    half = weight.shape[1] // 2
    if number == 1 and np.array_equal(weight[:, half:], -weight[:, :half]):
        on = _shuffled(weight[:, :half], seed, 1)
        return np.concatenate([on, -on], axis=1)
    return _shuffled(weight, seed, number)


def _shuffled(weight: NDArray[Any], seed: int, number: int) -> NDArray[Any]:
    return np.random.default_rng([seed, number]).permutation(weight.ravel()).reshape(weight.shape)
