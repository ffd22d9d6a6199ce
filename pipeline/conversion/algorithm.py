"""An ANN becomes a spiking network: the same weights, integrate-and-fire neurons, a threshold for
every layer.

Of any graph, thresholds θ are those of the ANN's activations x: a spike of a neuron stands for θ in
one of T steps, so that its rate approaches x / θ, clipped at 1; a sum of branches gives each its
own scale (see _spiking.py). `per` says whether a layer or a channel has a threshold.

============  =====================================================================================
rule          threshold
============  =====================================================================================
"max"         largest activation, over all calibration images (Diehl et al. 2015)
"scaled"      `scale` times that: RMP-SNN's soft reset keeps what exceeds the threshold (Han et al.
              2020)
"percentile"  `percentile` of the positive activations (Rueckauer et al. 2017)
"balanced"    local threshold balancing, one per channel (Bu, Li & Yu 2025)
"ftbc"        where clipping and counting in T steps cost the least squares, at most that of
              "percentile"; and biases corrected by channel and step: forward temporal bias
              correction (Wu et al. 2024; see _thresholds.py)
============  =====================================================================================

Membranes start at `initial` thresholds, by default a half, which rounds counts where 0 cuts them
(Bu et al. 2022). Right answers by "max", "scaled", "percentile" and "ftbc", this with the
thresholds of "percentile", of 200 images: a ResNet-18 on Tiny-ImageNet (ANN 87.0 %) 74.0, 78.0,
80.5 and 85.5 % after 8 steps, 87.5, 87.0, 87.5 and 87.5 % after 128. A VGG with maximum pooling
(ANN 98.0 %) 83.0, 83.0, 83.5 and 97.0 %, then 23.5, 38.0, 42.0 and 99.5 %: the largest of uneven
currents is more than the largest mean, which "ftbc" alone corrects. Logits of the ResNet, on 96
other images, are off by 28 % of their RMS after 8 steps with thresholds for these, and by 34 % with
those of "percentile"; after 128 steps by 4 % with biases corrected for 64 steps, and by 6 % with
those of 16.

Of a chain without biases, the first three rules are as the paper has them, since everything is
homogeneous there: the rate approaches the activation in units of θ_1 ⋯ θ_l, and the readout's sum
is proportional to the ANN's logits.

============  =====================================================================================
rule          threshold of layer l of such a chain
============  =====================================================================================
"max"         largest input current, over all calibration images, neurons and steps, with the layers
              before already converted (Kim & Panda 2021, Algorithm 1)
"scaled"      `scale` times that
"percentile"  `percentile` of the positive input currents
============  =====================================================================================

Its neurons start at membrane 0, and all steps count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from spikesam.backends.base import InputBatch, batch_size
from spikesam.backends.event.backend import EventBackend, first_currents
from spikesam.backends.network import LIF, Encoder, Layer, Network, Readout, ReLU, Shape
from spikesam.backends.torch.synapses import apply_synapses, arrange
from spikesam.common.errors import InputError
from spikesam.pipeline.config import Config, ConversionSection
from spikesam.pipeline.conversion._spiking import Floats, images_seen, spiking_network
from spikesam.pipeline.conversion._thresholds import (
    Rectifiers,
    activation_thresholds,
    balanced_thresholds,
    corrected_on,
    largest_current,
    least_thresholds,
    percentile_current,
    temporal_corrections,
)
from spikesam.pipeline.images.encoding import encode, mean_spikes
from spikesam.pipeline.images.samples import DatasetSamples
from spikesam.pipeline.networks.checkpoint import Checkpoint
from spikesam.pipeline.networks.defaults import usual_defaults
from spikesam.pipeline.networks.layer_list import description
from spikesam.pipeline.networks.samples import choose_samples
from spikesam.pipeline.training.trainable import with_off_planes
from spikesam.recordings.raster.batch import PackedSpikes

BATCH = 4  # images simulated together
MOST_VALUES = (
    1 << 27
)  # activations of a layer of a graph: thresholds come from as many images as have no more
Advance = Callable[[int], None]


def calibration_samples(ann: Checkpoint, config: Config) -> DatasetSamples:
    """The first `conversion.calibration` training images of `data.source`, in class-balanced
    order.
    """
    settings, data = config.conversion, config.data
    return choose_samples(
        data.source, ann, settings.calibration, settings.seed, data.download, split="train"
    )


def calibration_of(ann: Checkpoint, config: Config) -> NDArray[np.float32]:
    """The images of :func:`calibration_samples`, (N, C, H, W)."""
    return calibration_samples(ann, config).images()


def matching_configuration(config: Config, ann: Checkpoint, target: Path) -> Config:
    """The configuration with the sections of the ANN's own, which fits the new checkpoint in
    `spikesam run`.
    """
    data = config.data.model_copy(update=asdict(ann.image_preprocessing) | {"classes": ann.classes})
    network = config.network.model_copy(
        update={"neuron": "relu", "layers": description(ann.network.outline)}
    )
    run = config.run.model_copy(update={"checkpoint": str(target), "data": (config.data.source,)})
    return config.model_copy(update={"data": data, "network": network, "run": run})


@usual_defaults()
def converted(
    ann: Network,
    images: NDArray[np.float32],
    settings: ConversionSection,
    advance: Advance = lambda images: None,
) -> tuple[Network, dict[str, Floats]]:
    """A float32 spiking network of an ANN, and the activation (C,) that a spike of each layer
    stands for at every step.

    `images` (N, C, H, W) are of the training part, preprocessed; `advance` is called with the
    number that one more layer has seen. Chains without biases and limits, by any rule but "ftbc",
    are converted by what arrives in the simulated network, all T steps of which are the network's:
    λ = 1, b = 0, and g = 1 except with "balanced", where θ = 1 and g = 1/θ_c. All else:
    :func:`convert_graph`. Memory: one bit per neuron of two layers, step and image, or a float32
    per neuron of a layer. An InputError if the network spikes already, there are too few images, T
    is too short for the depth, or nothing drives a layer.
    """
    settings = settings.first
    if settings.rule == "ftbc" or settings.spikes > 1 or not _plain_chain(ann):
        return convert_graph(ann, images, settings, advance)
    _check(ann, images)
    if settings.timesteps <= len(ann.layers):
        raise InputError(
            f"conversion.timesteps is {settings.timesteps}, but {len(ann.layers)} layers delay the "
            f"image by as many steps; expected at least {len(ann.layers) + 1}, better several "
            "hundred"
        )
    shape, layers, readout = ann.input_shape, list(ann.layers), ann.readout
    if settings.rule == "balanced":
        layers, readout = _balance(ann, images, advance)
    if settings.encoder == "poisson":
        shape = (2 * shape[0], *shape[1:])
        (first,) = layers[0].inputs
        layers[0] = Layer(layers[0].name, first.weighed(with_off_planes), layers[0].neuron)
    if settings.rule != "balanced":
        layers = _simulate(layers, shape, images, settings, advance)
    network = Network(shape, settings.timesteps, tuple(layers), readout, settings.encoder)
    of_layers = [
        layer.spiking_neuron.threshold / layer.inputs[0].gain[0] for layer in network.layers
    ]
    if settings.rule != "balanced":
        of_layers = [
            np.full(shape[0], worth)
            for worth, shape in zip(
                np.cumprod([worths[0] for worths in of_layers]), network.shapes[1:], strict=True
            )
        ]
    return network, dict(zip((layer.name for layer in network.layers), of_layers, strict=True))


def _check(ann: Network, images: NDArray[np.float32]) -> None:
    if ann.kind != "ann":
        raise InputError(
            "conversion: got a spiking network, expected an ANN, whose neurons are ReLU"
        )
    if len(images) < 2:
        raise InputError(
            f"conversion: got {len(images)} calibration images, expected at least 2, better 64"
        )


def _plain_chain(ann: Network) -> bool:
    """True if there is one input a layer, and neither bias, nor gain, nor limit: then everything is
    homogeneous.
    """
    plain = (
        isinstance(layer.neuron, ReLU)
        and layer.neuron.limit is None
        and not layer.neuron.bias.any()
        and (layer.inputs[0].gain == 1).all()
        for layer in ann.layers
    )
    return ann.kind == "snn" or (ann.is_chain and all(plain) and not ann.readout.bias.any())


@usual_defaults()
def convert_graph(
    ann: Network,
    images: NDArray[np.float32],
    settings: ConversionSection,
    advance: Advance = lambda images: None,
) -> tuple[Network, dict[str, Floats]]:
    """An ANN of any graph, by thresholds of its own activations, for T steps of each layer; see
    :func:`converted`.
    """
    _check(ann, images)
    settings = settings.first
    rectifiers = Rectifiers(ann)
    images = images[evenly_spaced(len(images), max(2, MOST_VALUES // max(map(prod, ann.shapes))))]
    pixels = torch.from_numpy(mean_spikes(images, ann.input_range))
    count, steps = corrected_on(ann, len(images), settings.timesteps)
    chosen = evenly_spaced(len(images), count)
    refuse_dead = partial(_refuse_dead, images=len(images))
    thresholds, means = activation_thresholds(rectifiers, pixels, settings, chosen, refuse_dead)
    worths = {name: largest / settings.spikes for name, largest in thresholds.items()}
    corrections = None
    if settings.rule == "ftbc":
        shown_images = images_seen(ann, images[chosen], settings.encoder, steps, settings.seed)
        corrections = temporal_corrections(
            rectifiers, shown_images, worths, means, settings.initial, settings.spikes, advance
        )
    network = spiking_network(
        ann,
        worths,
        settings.timesteps,
        encoder=settings.encoder,
        initial=settings.initial,
        corrections=corrections,
        spikes=settings.spikes,
    )
    return network, thresholds


def evenly_spaced(count: int, max_count: int) -> NDArray[np.int64]:
    """At most so many of `count` positions, evenly spaced, since images may be in order of their
    classes.
    """
    return np.linspace(0, count - 1, min(count, max_count)).round().astype(np.int64)


def _simulate(
    layers: list[Layer],
    shape: Shape,
    images: NDArray[np.float32],
    settings: ConversionSection,
    advance: Advance,
) -> list[Layer]:
    """Algorithm 1: simulate layer after layer, each first for its currents, then with the threshold
    they give.
    """
    backend = EventBackend()
    converted: list[Layer] = []
    spikes: list[NDArray[np.uint8]] | None = None  # of the layer before, packed, sample by sample
    for layer in layers:
        encoder = settings.encoder if spikes is None else "poisson"
        stage = _single_layer(replace(layer, neuron=LIF(1.0)), shape, settings.timesteps, encoder)
        currents = first_currents(stage, _inputs(stage, images, spikes, settings.seed, advance))
        if settings.rule == "percentile":
            threshold = percentile_current(currents, settings.percentile)
        else:
            threshold = largest_current(currents) * (
                settings.scale if settings.rule == "scaled" else 1
            )
        _refuse_dead(threshold, layer.name, len(images))
        converted.append(replace(layer, neuron=LIF(1.0, threshold)))
        stage = _single_layer(converted[-1], shape, settings.timesteps, encoder)
        inputs = _inputs(stage, images, spikes, settings.seed)
        spikes = [
            batch.spikes[stage.raster_names[-1]]
            for batch in backend.run(stage, inputs, len(images))
        ]  # one each
        shape = stage.shapes[-1]
    return converted


def _inputs(
    stage: Network,
    images: NDArray[np.float32],
    spikes: list[NDArray[np.uint8]] | None,
    seed: int,
    advance: Advance = lambda images: None,
) -> Iterator[InputBatch]:
    """The images or spikes of a layer, in batches; `advance` learns the size of each when the next
    is asked for.
    """
    parts = [
        range(start, min(start + BATCH, len(images))) for start in range(0, len(images), BATCH)
    ]
    encoded = (encode(stage, images[part], seed, part) for part in parts)
    for batch in (
        encoded
        if spikes is None
        else (PackedSpikes(packed, stage.input_shape) for packed in spikes)
    ):
        yield batch
        advance(batch_size(batch))


def _balance(
    ann: Network, images: NDArray[np.float32], advance: Advance
) -> tuple[list[Layer], Readout]:
    """Thresholds per channel; a spike of channel c is worth θ_c, which the next layer's weights
    absorb.
    """
    layers: list[Layer] = []
    thresholds: dict[str, Floats] = {}
    x, worth = torch.from_numpy(mean_spikes(images)), np.ones(ann.input_shape[0], np.float32)
    with torch.inference_mode():
        for layer in ann.layers:
            (layer_input,) = layer.inputs
            synapse, weight = layer_input.synapse, torch.tensor(layer_input.weight)
            parts = (arrange(part, synapse, (1, 2, 3)) for part in x.split(BATCH))
            z = torch.cat([apply_synapses(layer_input, weight, part) for part in parts])
            balanced = balanced_thresholds(z.transpose(0, 1).flatten(1)).double().numpy()
            _refuse_dead(float(balanced.max()), layer.name, len(images))
            least = least_thresholds(layer.inputs, thresholds).max()  # integers share a scale
            balanced = np.maximum(balanced, least)
            thresholds[layer.name] = balanced
            weighed = layer_input.weighed(partial(_scaled, worth=worth))
            layers.append(Layer(layer.name, replace(weighed, gain=1 / balanced), LIF(1.0)))
            worth = balanced.astype(np.float32)
            limit = torch.from_numpy(worth).reshape(-1, *[1] * (z.ndim - 2))
            x = functional.relu(z).minimum(limit)
            advance(len(images))
        return layers, replace(ann.readout, weight=_scaled(ann.readout.weight, worth))


def _single_layer(layer: Layer, shape: Shape, timesteps: int, encoder: Encoder) -> Network:
    (layer_input,) = layer.inputs
    readout = Readout(np.zeros((1, prod(layer_input.output_shape(shape)))))
    layer_alone = Layer(layer.name, replace(layer_input, source=()), layer.neuron)
    return Network(shape, timesteps, (layer_alone,), readout, encoder)


def _scaled(weight: NDArray[np.float32], worth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights times what a spike of each input channel is worth; inputs of a dense layer are
    channel-major.
    """
    factors = worth.repeat(weight.shape[1] // len(worth))
    return weight * factors.reshape(-1, *[1] * (weight.ndim - 2))


def _refuse_dead(threshold: float, name: str, images: int) -> None:
    if threshold <= 0:
        raise InputError(
            f"layer {name!r}: nothing drives it on {images} calibration images (its input currents "
            "never exceed 0), so it has no threshold; use more images, or train the ANN again"
        )
