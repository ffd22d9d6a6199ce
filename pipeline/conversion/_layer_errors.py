"""Departures of a converted network's activations from its ANN's: how much each layer adds, and by
what.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikesam.backends.event.backend import EventBackend
from spikesam.backends.input_currents import backend_input
from spikesam.backends.network import NO_POOLING, Network
from spikesam.pipeline.conversion._spiking import HALF, Floats, images_seen, layer_depths
from spikesam.pipeline.conversion._thresholds import BATCH, Rectifiers
from spikesam.pipeline.images.encoding import encode, mean_spikes
from spikesam.pipeline.networks.defaults import usual_defaults
from spikesam.recordings.raster.batch import unpack

CAUSES = ("arriving", "maximum", "clipped", "steps", "unevenness", "integers")


@usual_defaults()
def layer_errors(
    ann: Network,
    networks: Mapping[str, Network],
    worths: Mapping[str, Floats],
    images: NDArray[np.float32],
    initial: float,
    seed: int,
) -> pd.DataFrame:
    """The error of each layer's activations in per cent of their root mean square, in all and by
    cause.

    x̂ is what the ANN's layer makes of what really arrives, the mean over the T steps of what the
    float32 network fires.

    ==========  ===================================================================================
    arriving    x̂ - x, x being the ANN's activation: errors of the layers before, and of the image
                in 8 bits
    maximum     the mean over the steps of the largest current of each window, instead of the
                largest mean
    clipped     min(x̂, θ) - x̂: more than a spike a step, or than n
    steps       counts are whole numbers: θ/nT · ⌊nT·min(x̂, θ)/θ + initial⌋ instead of min(x̂, θ)
    unevenness  what is really fired instead: more or less, since spikes arrive unevenly; and
                corrected biases
    integers    what the fixed-point layer fires instead, of what arrives in fixed point
    ==========  ===================================================================================

    `networks` are "float32" and "fixed"; `worths` θ (C,), the activation that a spike in every step
    stands for, or n.
    """
    rectifiers, late = Rectifiers(ann), layer_depths(ann)
    bare, backend, samples = networks["float32"], EventBackend(), len(images)
    steps = bare.window or bare.timesteps - max(late.values())
    spikes: dict[
        str, dict[str, NDArray[np.uint8]]
    ] = {}  # packed (N, T, bytes), by precision and layer
    for precision, network in networks.items():
        runs = list(backend.run(network, [encode(network, images, seed, range(samples))], samples))
        spikes[precision] = {
            name: np.concatenate([run.spikes[name] for run in runs])
            for name in network.raster_names
        }

    planes = {
        name: bare.shapes[bare.place(name)][0] // ann.shapes[ann.place(name)][0]
        for name in rectifiers.layers
    }

    def each_step(packed: NDArray[np.uint8], name: str) -> Iterator[Tensor]:
        """The spikes of a layer at each of its steps, as a share of the most, (N, C, H, W) or (N,
        C).
        """
        for bits in unpack(packed, bare.shapes[bare.place(name)])[late[name] :][:steps]:
            share = torch.from_numpy(bits).float().unflatten(1, (planes[name], -1)).mean(1)
            yield share.reshape(-1, *rectifiers.layers[name].shape)

    def fired(packed: NDArray[np.uint8], name: str) -> Tensor:
        """(N, C, H, W) or (N, C): θ times the share of steps with a spike."""
        return sum(each_step(packed, name), torch.zeros(())) / steps * theta[name]

    def stepwise(name: str) -> Tensor:
        """The activations of the mean of its currents over the steps, each driven by the spikes of
        its own.
        """
        module, names = rectifiers.layers[name], sorted(rectifiers.reads[name] - {"input"})
        total = torch.zeros(())
        for _, *shares in zip(
            range(steps),
            *(each_step(spikes["float32"][source_name], source_name) for source_name in names),
            strict=True,
        ):
            arrived = {
                source_name: share * theta[source_name]
                for source_name, share in zip(names, shares, strict=True)
            }
            total = total + module.currents({"input": values["input"]} | arrived)
        return module.rectified(total / steps)

    theta = {
        name: rectifiers.by_channel(name, torch.from_numpy(worth).float())
        for name, worth in worths.items()
    }
    pixels = torch.from_numpy(mean_spikes(images, ann.input_range))
    shown_images = (step.double() for step in images_seen(ann, images, bare.encoder, steps, seed))
    values: dict[str, Tensor] = {"input": (sum(shown_images, torch.zeros(())) / steps).float()}
    rows = []
    layer_spikes: list[dict[str, Any]] = [
        {layer_name: bits[n] for layer_name, bits in spikes["fixed"].items()}
        for n in range(samples)
    ]
    if not bare.spiking_input:
        driving = backend_input("event", bare, encode(bare, images, seed, range(samples)))
        layer_spikes = [
            {"input": input_spikes, **layer_spikes_of_sample}
            for input_spikes, layer_spikes_of_sample in zip(driving, layer_spikes, strict=True)
        ]
    with torch.inference_mode():
        exact = {
            name: activations
            for name, _, activations in rectifiers.run(
                pixels, lambda name, activations_of_layer: activations_of_layer
            )
        }
        for layer in ann.layers:
            name, module, layer_theta = layer.name, rectifiers.layers[layer.name], theta[layer.name]
            x = exact.pop(name)
            arriving = module(values)
            pooled = (
                stepwise(name)
                if any(layer_input.synapse.windows != NO_POOLING for layer_input in layer.inputs)
                else arriving
            )
            clipped = pooled.minimum(layer_theta)
            levels = steps * planes[name]
            counted = (
                layer_theta
                / levels
                * (levels * clipped / layer_theta + initial).floor().clamp(max=levels)
            )
            values[name] = fired(spikes["float32"][name], name)
            again = backend.rerun(
                bare,
                [
                    {k: v for k, v in sample_inputs.items() if k != name}
                    for sample_inputs in layer_spikes
                ],
                samples,
            )
            driven = fired(np.concatenate([run.spikes[name] for run in again]), name)
            fixed_values = fired(spikes["fixed"][name], name)
            stages = x, arriving, pooled, clipped, counted, values[name]
            stage_errors = [
                *(next_stage - stage for stage, next_stage in pairwise(stages)),
                fixed_values - driven,
            ]
            scale = float(x.square().mean().sqrt()) or 1.0
            shares = [
                100 * float(error.square().mean().sqrt()) / scale
                for error in (fixed_values - x, *stage_errors)
            ]
            rows.append({"layer": name, **dict(zip(("error", *CAUSES), shares, strict=True))})
    return pd.DataFrame(rows)


@usual_defaults()
def answers_in_levels(
    ann: Network, images: NDArray[np.float32], worths: Mapping[str, Floats], levels: int
) -> NDArray[Any]:
    """(N,) the classes of the ANN whose activations are rounded to 0 … `levels` times θ / levels,
    and no larger.
    """
    rectifiers = Rectifiers(ann)
    theta = {
        name: rectifiers.by_channel(name, torch.from_numpy(worth).float())
        for name, worth in worths.items()
    }

    def rounded(name: str, values: Tensor) -> Tensor:
        return (
            (values * levels / theta[name] + HALF).floor().clamp(max=levels) * theta[name] / levels
        )

    last_activations: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            pixels = torch.from_numpy(mean_spikes(images[start : start + BATCH], ann.input_range))
            *_, (last, _, activations) = rectifiers.run(pixels, rounded)
            last_activations.append(rounded(last, activations).flatten(1))
        logits = (
            torch.cat(last_activations) @ torch.tensor(ann.readout.weight).T
            + torch.tensor(ann.readout.bias).float()
        )
    return logits.argmax(1).numpy()
