"""A residual network, SEW-ResNet-18, on the event backend and in SpikingJelly, an image at a time; a step on Lava.

The model is SpikingJelly's own, with random weights and normalisation after its input; it is imported, and proves
itself. There, a layer sees the spikes of the layer before in the same step; here one step later. So T = 4 steps of
SpikingJelly are 4 + 19 steps here, in four of which each layer has input.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import spikesam
from benchmarks.common.environment import missing_lava, missing_spikingjelly
from benchmarks.common.measurement import KEEP_FREED_MEMORY, Case, MeasuredRow, Options, race, ratio, timings
from benchmarks.common.networks import firing, random_spikes, spike_rates
from benchmarks.lava import timed_spikes
from benchmarks.simulate import check_same_bits, ours, simulating
from benchmarks.transformer import normalised
from spikesam.backends.event.backend import EventBackend
from spikesam.backends.network.quantise import quantise
from spikesam.recordings.parallel import cores

PEERS = (missing_spikingjelly,)
TIMESTEPS = 4  # with input
RATE = 0.15
SIZES, TINY_SIZES = (64, 224), (32,)


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark; none without SpikingJelly, whose model it is."""
    if missing_spikingjelly():
        return
    sizes = TINY_SIZES if options.tiny else SIZES
    for size in sizes:
        yield Case(f"SEW-ResNet-18, {size}×{size}", partial(compare, size, options), KEEP_FREED_MEMORY)
    if not missing_lava():
        yield Case(f"SEW-ResNet-18, {sizes[0]}×{sizes[0]}, Lava", partial(on_lava, sizes[0], options, scratch))


def compare(size: int, options: Options) -> Iterator[MeasuredRow]:
    """One image, on all cores."""
    import torch

    from benchmarks.common.peers import spikingjelly

    case, functional = f"SEW-ResNet-18, T = {TIMESTEPS}, {size}×{size}", spikingjelly().functional
    model, given = sew_resnet(size, options.seed)
    network = spikesam.from_torch(model, given)
    spikes = np.zeros((network.timesteps, 1, *network.input_shape), np.bool_)
    spikes[:TIMESTEPS] = given.numpy() > 0

    @torch.inference_mode()
    def call() -> Any:
        functional.reset_net(model)
        return model(given)

    fixed = quantise(network)
    ways = ours(fixed, spikes) | {"event, float32": simulating(EventBackend(), network, spikes), "SpikingJelly": call}
    timed = race(ways, options.repeats)
    check_same_bits(timed["event"].result, timed["torch"].result)
    acting, rates = network.timesteps / TIMESTEPS, spike_rates(fixed, timed["event"].result)
    of_window = {name: acting * rate for name, rate in rates.items() if name not in ("input", "answer")}
    notes = {
        "event": f"{firing(of_window)}, input at {RATE:.0%}; {cores()} cores",
        "torch": "the same bits as event",
        "event, float32": "real weights, as SpikingJelly has",
        "SpikingJelly": f"{TIMESTEPS} steps without delays, float32",
    }
    yield from timings(case, timed, "ms/image", 1000, notes)
    yield ratio(case, timed, "SpikingJelly", "event", at_least=2.0)


def on_lava(size: int, options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """A step through Lava's processes, every spike recorded."""
    network = quantise(spikesam.from_torch(*sew_resnet(size, options.seed)))
    spikes = random_spikes(network.input_shape, network.timesteps, options.repeats + 1, RATE, options.seed)
    timed = timed_spikes(network, "event", spikes, scratch)
    case = f"SEW-ResNet-18, {size}×{size}"
    about = f"{len(network.layers)} layers, input at {RATE:.0%} at each of {network.timesteps} steps; {cores()} cores"
    yield MeasuredRow(case, "Lava", "ms/step", 1000 * timed.seconds, at_most=50.0, note=about)


def sew_resnet(size: int, seed: int) -> tuple[Any, Any]:
    """SpikingJelly's own model of random weights, all steps of a layer at a time, and spikes (T, 1, C, H, W)."""
    import torch

    from benchmarks.common.peers import spikingjelly

    functional, neuron = spikingjelly().functional, spikingjelly().neuron
    from spikingjelly.activation_based.model import sew_resnet as models

    torch.manual_seed(seed)
    model = models.sew_resnet18(num_classes=10, cnf="ADD", spiking_neuron=neuron.LIFNode)
    functional.set_step_mode(model, "m")
    spikes = (torch.rand(TIMESTEPS, 1, 3, size, size) < RATE).float()
    return normalised(model, spikes), spikes
