"""An ANN becomes a spiking network: the same weights, integrate-and-fire neurons, a threshold for every layer.

With thresholds θ_l the rate of a neuron approaches its ReLU activation in units of θ_1 ⋯ θ_l (clipped at 1), because
without biases everything is homogeneous; the readout's sum is therefore proportional to the ANN's logits.

============  =====================================================================================================
rule          threshold of layer l
============  =====================================================================================================
"max"         largest input current, over all calibration images, neurons and steps, with the layers before already
              converted (Kim & Panda 2021, Algorithm 1)
"scaled"      `scale` times that: RMP-SNN's soft reset keeps what exceeds the threshold (Han et al. 2020)
"percentile"  `percentile` of the positive input currents (after Rueckauer et al. 2017)
"balanced"    one per channel, from the ANN's own activations: local threshold balancing (Bu, Li & Yu 2025)
============  =====================================================================================================

Neurons start at membrane 0, and all steps count (Bu et al. start at θ/2 and leave out early steps).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from backends.base import InputBatch
from backends.event.backend import EventBackend, first_currents
from backends.network.graph import LIF, Encoder, Layer, Network, Readout, Shape
from pipeline.config import Config, ConversionSection
from pipeline.images.encoding import encode
from pipeline.images.samples import choose_samples
from pipeline.networks.ann import ReluNetwork, pooled
from pipeline.networks.ann_checkpoint import AnnCheckpoint
from pipeline.networks.checkpoint import Checkpoint
from pipeline.networks.plan import LayerPlan
from recordings.errors import InputError
from recordings.raster.batch import unpack

from .thresholds import balanced_thresholds, largest_current, percentile_current

BATCH = 4  # images simulated together
Advance = Callable[[int], None]


def convert_checkpoint(ann: AnnCheckpoint, config: Config, advance: Advance = lambda images: None) -> Checkpoint:
    """Convert with the first `conversion.calibration` training images of `data.source`, in class-balanced order.

    Raises
    ------
    InputError : as :func:`convert`, or if the data have no training part or none of the ANN's classes
    """
    settings, data = config.conversion, config.data
    samples = choose_samples(data.source, ann, settings.calibration, settings.seed, data.download, split="train")
    network = convert(ann.model, samples.images(), settings, advance)
    return Checkpoint(network, ann.preprocessing, ann.classes, ann.class_names)


def convert(
    ann: ReluNetwork,
    images: NDArray[np.float32],
    settings: ConversionSection,
    advance: Advance = lambda images: None,
) -> Network:
    """Convert an ANN, given calibration images.

    Memory: one bit per neuron of two layers, step and image; with rule "balanced" a float32 per neuron of a layer.

    Parameters
    ----------
    images : (N, C, H, W) float32 — preprocessed, of the training part
    advance : called with the number of images that one more layer has seen

    Returns
    -------
    float32 network: λ = 1, b = 0, and g = 1 except with "balanced", where θ = 1 and g = 1/θ_c per channel

    Raises
    ------
    InputError : if there are too few images, T is too short for the depth, or nothing drives a layer
    """
    if len(images) < 2:
        raise InputError(f"conversion: got {len(images)} calibration images, expected at least 2, better 64")
    if settings.timesteps <= len(ann.plans):
        raise InputError(
            f"conversion.timesteps is {settings.timesteps}, but {len(ann.plans)} layers delay the image by as many "
            f"steps; expected at least {len(ann.plans) + 1}, better several hundred"
        )
    if settings.rule == "balanced":
        layers, readout = _balance(ann, torch.from_numpy(images), settings, advance)
    else:
        layers, readout = _simulate(ann, images, settings, advance), _numpy(ann.readout.weight)
    channels, height, width = ann.input_shape
    planes = 2 * channels if settings.encoder == "poisson" else channels
    return Network((planes, height, width), settings.timesteps, layers, Readout(readout), settings.encoder)


def _simulate(
    ann: ReluNetwork, images: NDArray[np.float32], settings: ConversionSection, advance: Advance
) -> tuple[Layer, ...]:
    """Algorithm 1: simulate layer after layer, each first for its currents, then with the threshold they give."""
    backend = EventBackend()
    layers: list[Layer] = []
    channels, height, width = ann.input_shape
    shape = (2 * channels if settings.encoder == "poisson" else channels, height, width)
    spikes: list[NDArray[np.uint8]] | None = None  # of the layer before, packed, sample by sample
    for plan, synapse in ann.layers:
        encoder = settings.encoder if spikes is None else "poisson"
        layer = _layer(plan, _numpy(synapse.weight), LIF(1.0), first_of=encoder if spikes is None else None)
        stage = _alone(layer, shape, settings.timesteps, encoder)
        inputs = _counted(_inputs(stage, images, spikes, settings.seed), advance)
        threshold = _threshold(first_currents(stage, inputs), settings)
        _refuse_dead(threshold, plan, len(images))
        layers.append(replace(layer, neuron=LIF(1.0, threshold)))
        stage = replace(stage, layers=(layers[-1],))
        inputs = _inputs(stage, images, spikes, settings.seed)
        spikes = [batch.spikes[stage.raster_names[-1]] for batch in backend.run(stage, inputs, len(images))]  # one each
        shape = stage.shapes[-1]
    return tuple(layers)


def _threshold(currents: Iterator[NDArray[np.float32]], settings: ConversionSection) -> float:
    if settings.rule == "percentile":
        return percentile_current(currents, settings.percentile)
    largest = largest_current(currents)
    return settings.scale * largest if settings.rule == "scaled" else largest


def _inputs(
    stage: Network, images: NDArray[np.float32], spikes: list[NDArray[np.uint8]] | None, seed: int
) -> Iterator[InputBatch]:
    """What drives a layer, in batches: the encoded images, or the spikes of the layer before."""
    if spikes is not None:
        yield from (unpack(packed, stage.input_shape) for packed in spikes)
        return
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        yield encode(stage, batch, seed, range(start, start + len(batch)))


def _counted(inputs: Iterable[InputBatch], advance: Advance) -> Iterator[InputBatch]:
    """The same, telling of every batch when the next is asked for."""
    for batch in inputs:
        yield batch
        advance(batch.shape[-4])


def _balance(
    ann: ReluNetwork, images: Tensor, settings: ConversionSection, advance: Advance
) -> tuple[tuple[Layer, ...], NDArray[np.float32]]:
    """Thresholds per channel; a spike of channel c is worth θ_c, which the next layer's weights absorb."""
    layers: list[Layer] = []
    x, worth = images.clamp(-2, 2) / 2, torch.ones(images.shape[1])
    with torch.inference_mode():
        for plan, synapse in ann.layers:
            z = torch.cat([synapse(pooled(plan, part)) for part in x.split(BATCH)])
            thresholds = balanced_thresholds(z.transpose(0, 1).flatten(1))
            _refuse_dead(float(thresholds.max()), plan, len(images))
            neuron = LIF(1.0, 1.0, gain=(1 / thresholds.double())[None].numpy())
            layers.append(_layer(plan, _scaled(synapse.weight, worth), neuron, None if layers else settings.encoder))
            limit = thresholds.reshape(-1, *[1] * (z.ndim - 2))
            x, worth = functional.relu(z).minimum(limit), thresholds
            advance(len(images))
        return tuple(layers), _scaled(ann.readout.weight, worth)


def _layer(plan: LayerPlan, weight: NDArray[np.float32], neuron: LIF, first_of: Encoder | None) -> Layer:
    """`first_of`: the encoder whose input the layer gets, if it is the first; ON and OFF planes want [W, -W]."""
    if first_of == "poisson":
        weight = np.concatenate([weight, -weight], axis=1)  # a dense layer's inputs are channel-major too
    return Layer(plan.name, weight, neuron, pool=plan.pool, padding=1 if plan.kind == "conv" else 0)


def _alone(layer: Layer, shape: Shape, timesteps: int, encoder: Encoder) -> Network:
    """A network of that layer alone, with a readout of nothing."""
    neurons = int(np.prod(layer.output_shape(shape)))
    return Network(shape, timesteps, (layer,), Readout(np.zeros((1, neurons), np.float32)), encoder)


def _scaled(weight: Tensor, worth: Tensor) -> NDArray[np.float32]:
    """Weights times what a spike of each input channel is worth; inputs of a dense layer are channel-major."""
    factors = worth.repeat_interleave(weight.shape[1] // len(worth))
    return _numpy(weight * factors.reshape(-1, *[1] * (weight.ndim - 2)))


def _refuse_dead(threshold: float, plan: LayerPlan, images: int) -> None:
    if threshold <= 0:
        raise InputError(
            f"layer {plan.name!r}: nothing drives it on {images} calibration images (its input currents never exceed "
            "0), so it has no threshold; use more images, or train the ANN again"
        )


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().cpu().float().numpy()
