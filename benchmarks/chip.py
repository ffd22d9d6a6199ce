"""Spikes, time and energy of networks on SANA-FE's model of Loihi, beside the recordings here.

Of each network the spikes of every layer are compared with the event backend's, in float32, and
SANA-FE's joules with the sum of the spikes' own operations, as `spikesam.chip` does; a joule that
differs is an error. Gains of bundled networks that change from step to step (BNTT), which a chip
cannot hold, are replaced by their mean over all steps. The converted network has random weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import spikesam
from benchmarks.common.measurement import Case, MeasuredRow, Options
from spikesam import Checkpoint, Input, Network

WAY = "a model of Loihi (SANA-FE)"
SAMPLES, SECONDS = 2, 60.0  # and the most that the digits may take
DIGITS = "residual-digits"
STEADY = ("chirps", "saccade-digits")  # their gains change from step to step


def missing_sanafe() -> str:
    """Why the model of a chip cannot run; nothing if it can."""
    return "" if find_spec("sanafe") else "SANA-FE: not installed; pip install 'spikesam[chip]'"


PEERS = (missing_sanafe,)


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark."""
    if missing_sanafe():
        return
    networks: dict[str, Callable[[], tuple[Checkpoint | Network, Any]]] = {
        f"{name}, mean gains": partial(with_mean_gains, name)
        for name in options.pick(STEADY, STEADY[:1])
    }
    if not options.tiny:
        networks[DIGITS] = partial(bundled, DIGITS)
        networks["converted CNN, random weights"] = partial(converted, options.seed)
    for name, make in networks.items():
        yield Case(name, partial(on_chip, name, make, options), alone=True)


def on_chip(
    name: str, make: Callable[[], tuple[Checkpoint | Network, Any]], options: Options
) -> Iterator[MeasuredRow]:
    """Bits that differ, joules and seconds of a sample, and seconds that the simulation took."""
    network, data = make()
    count = None if data is not None else options.pick(SAMPLES, 1)
    took = []
    for _ in range(options.repeats):
        begun = time.perf_counter()
        result = spikesam.chip(network, data, samples=count, seed=options.seed)
        took.append(time.perf_counter() - begun)
    samples = len(result.samples)
    case = f"{name}, {samples} samples, {len(result.steps)} steps"
    first = result.first
    note = f"of {result.compared:,}"
    if first is not None:
        note += (
            f"; the first: layer {first.layer}, sample {first.sample}, step {first.step}, "
            f"neuron {first.neuron}"
        )
    yield MeasuredRow(case, WAY, "bits differ", (result.bits,), note=note)
    yield MeasuredRow(case, WAY, "µJ/sample", (result.joules * 1e6,))
    yield MeasuredRow(case, WAY, "µs/sample", (result.seconds * 1e6,))
    cores = int(result.layers["cores"].sum())
    yield MeasuredRow(case, WAY, "cores", (cores,))
    yield MeasuredRow(case, "spikesam.chip", "s", took, at_most=SECONDS if name == DIGITS else None)


def bundled(name: str) -> tuple[Checkpoint, None]:
    """A bundled network, and the samples that it takes by itself."""
    return spikesam.load(name), None


def with_mean_gains(name: str) -> tuple[Checkpoint, None]:
    """A bundled network whose gains are their mean over all steps, so that a chip can hold them."""
    checkpoint = spikesam.load(name)

    def steady(synapses: Input) -> Input:
        gain = np.asarray(synapses.gain)
        return replace(synapses, gain=gain.mean(axis=0)) if gain.ndim == 2 else synapses

    layers = tuple(
        replace(layer, inputs=tuple(map(steady, layer.inputs)))
        for layer in checkpoint.network.layers
    )
    return replace(checkpoint, network=replace(checkpoint.network, layers=layers)), None


def converted(seed: int) -> tuple[Network, Any]:
    """A CNN that was converted, and images."""
    import torch

    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AvgPool2d(2),
        torch.nn.Conv2d(8, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * 4 * 4, 10),
    ).eval()
    images = torch.rand(40, 1, 16, 16)
    network = spikesam.convert(model, images, timesteps=32, samples=SAMPLES).network
    return network, images[:SAMPLES].numpy()
