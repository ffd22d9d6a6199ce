"""A residual network, SEW-ResNet-18, on the event backend and in SpikingJelly, an image at a time; a step on Lava.

The network is SpikingJelly's architecture with random weights, and fires as often as is said. There, a layer sees the
spikes of the layer before in the same step; here one step later. So T = 4 steps of SpikingJelly are 4 + 19 steps here,
in four of which each layer has input; a bias acts in those alone. The overlapping maximum pooling is a layer whose
kernels have a diagonal of ones, and the readout, which reads one layer, follows a dense layer of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.environment import missing_lava, missing_spikingjelly
from benchmarks.common.measurement import KEEP_FREED_MEMORY, Case, MeasuredRow, Options, race, ratio, timings
from benchmarks.common.networks import firing, random_spikes, spike_rates
from benchmarks.lava import timed_spikes
from benchmarks.simulate import check_same_bits, ours, simulating
from spikesam.backends.event.backend import EventBackend
from spikesam.backends.network import LIF, Input, Layer, Network, Readout, Source
from spikesam.backends.network.quantise import quantise
from spikesam.recordings.parallel import cores

PEERS = (missing_spikingjelly,)
TIMESTEPS = 4  # with input
RATE = 0.15
SIGMA = 0.5  # of the current of a step, where the threshold is 1
BIAS = 0.4
CLASSES = 10
STAGES = (64, 128, 256, 512)  # channels
PLANES = 3
SIZES, TINY_SIZES = (64, 224), (32,)


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark."""
    sizes = TINY_SIZES if options.tiny else SIZES
    for size in sizes:
        yield Case(f"SEW-ResNet-18, {size}×{size}", partial(compare, size, options), KEEP_FREED_MEMORY)
    if not missing_lava():
        yield Case(f"SEW-ResNet-18, {sizes[0]}×{sizes[0]}, Lava", partial(on_lava, sizes[0], options, scratch))


def compare(size: int, options: Options) -> Iterator[MeasuredRow]:
    """One image, on all cores."""
    case = f"SEW-ResNet-18, T = {TIMESTEPS}, {size}×{size}"
    network = sew_resnet(size, options.seed)
    spikes = np.zeros((network.timesteps, 1, *network.input_shape), np.bool_)
    spikes[:TIMESTEPS] = random_spikes(network.input_shape, TIMESTEPS, 1, RATE, options.seed)
    fixed = quantise(network)
    ways = ours(fixed, spikes) | {"event, float32": simulating(EventBackend(), network, spikes)}
    if not missing_spikingjelly():
        ways["SpikingJelly"] = spikingjelly_network(spikes[:TIMESTEPS])
    timed = race(ways, options.repeats)
    check_same_bits(timed["event"].result, timed["torch"].result)
    rates = spike_rates(fixed, timed["event"].result)
    acting = network.timesteps / TIMESTEPS
    of_window = {name: acting * rate for name, rate in rates.items() if name not in ("input", "pool", "fc")}
    notes = {
        "event": f"{firing(of_window)}, input at {RATE:.0%}; {cores()} cores",
        "torch": "the same bits as event",
        "event, float32": "real weights, as SpikingJelly has",
        "SpikingJelly": f"its own model, {TIMESTEPS} steps without delays, float32",
    }
    yield from timings(case, timed, "ms/image", 1000, notes)
    if "SpikingJelly" in timed:
        yield ratio(case, timed, "SpikingJelly", "event", at_least=2.0)


def on_lava(size: int, options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """A step through Lava's processes, every spike recorded."""
    network = quantise(sew_resnet(size, options.seed))
    spikes = random_spikes(network.input_shape, network.timesteps, options.repeats + 1, RATE, options.seed)
    timed = timed_spikes(network, "event", spikes, scratch)
    case = f"SEW-ResNet-18, {size}×{size}"
    about = f"{len(network.layers)} layers, input at {RATE:.0%} at each of {network.timesteps} steps; {cores()} cores"
    yield MeasuredRow(case, "Lava", "ms/step", 1000 * timed.seconds, at_most=50.0, note=about)


def sew_resnet(size: int, seed: int) -> Network:
    """SEW-ResNet-18 of random weights in float32, whose layers have currents of one size."""
    rng = np.random.default_rng(seed)
    depths, planned = {"input": 0}, list[tuple[str, NDArray[Any], Sequence[str], dict[str, Any]]]()

    def add(name: str, weight: NDArray[Any], sources: Sequence[str], **geometry: int) -> str:
        depths[name] = 1 + max(depths[source] for source in sources)
        planned.append((name, weight, sources, geometry))
        return name

    def random(*shape: int) -> NDArray[np.float32]:
        weight = rng.standard_normal(shape, np.float32)
        return weight - weight.mean(axis=tuple(range(1, weight.ndim)), keepdims=True)

    conv1 = add("conv1", random(STAGES[0], PLANES, 7, 7), ["input"], stride=2, padding=3)
    diagonal = np.eye(STAGES[0], dtype=np.float32)[:, :, None, None] * np.ones((3, 3), np.float32)
    summed, channels = [add("pool", diagonal, [conv1], stride=2, padding=1)], STAGES[0]
    for stage, outputs in enumerate(STAGES, 1):
        for block in (1, 2):
            stride, name = 2 if outputs > channels else 1, f"s{stage}b{block}"
            first = add(f"{name}c1", random(outputs, channels, 3, 3), summed, stride=stride, padding=1)
            second = add(f"{name}c2", random(outputs, outputs, 3, 3), [first], padding=1)
            if outputs > channels:
                summed = [add(f"{name}s", random(outputs, channels, 1, 1), summed, stride=stride)]
            summed, channels = [second, *summed], outputs
    add("fc", random(CLASSES, channels), summed, pool=math.ceil(size / 32))
    timesteps = TIMESTEPS + max(depths.values())
    layers = []
    for name, weight, sources, geometry in planned:
        source = [Source(each, depths[name] - depths[each]) for each in sources]
        if name == "pool":
            neuron, gain = LIF(0.0, 0.5), 1.0
        else:
            acts = np.arange(1, timesteps)[:, None] - depths[name]
            bias = np.append(BIAS * ((acts >= 0) & (acts < TIMESTEPS)), [[0]], axis=0)  # bias[t-1] acts at step t
            gain = SIGMA / math.sqrt(RATE * len(sources) * weight[0].size) * geometry.get("pool", 1)
            neuron = LIF(0.5, bias=np.broadcast_to(bias, (timesteps, len(weight))))
        layers.append(Layer(name, Input(weight, source, gain, **geometry), neuron))
    readout = Readout(np.eye(CLASSES, dtype=np.float32))
    return Network((PLANES, size, size), timesteps, tuple(layers), readout, "spikes")


def spikingjelly_network(spikes: NDArray[np.bool_]) -> Any:
    """SpikingJelly's own model, which takes all steps of a layer at a time, with these spikes."""
    import torch

    from benchmarks.common.peers import spikingjelly

    functional, neuron = spikingjelly().functional, spikingjelly().neuron
    from spikingjelly.activation_based.model import sew_resnet as models

    torch.manual_seed(0)
    model = models.sew_resnet18(num_classes=CLASSES, cnf="ADD", spiking_neuron=neuron.LIFNode).eval()
    functional.set_step_mode(model, "m")
    given = torch.from_numpy(spikes.astype(np.float32))

    @torch.inference_mode()
    def call() -> Any:
        functional.reset_net(model)
        return model(given)

    return call
