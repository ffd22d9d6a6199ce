"""Graphs: a residual network, SEW-ResNet-18, an image at a time; a step of it on Lava; and a
recurrent network.

Ratios are those to the fastest peer. The residual model is SpikingJelly's own, with random weights
and normalisation after its input; it is imported, and proves itself. There, a layer sees the spikes
of the layer before in the same step; here one step later. So T = 4 steps of SpikingJelly are 4 + 19
steps here, in four of which each layer has input. The recurrent network is of the size that spoken
digits take; its peer is a loop in PyTorch, each of whose steps reads the spikes of the step before.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import spikesam
from benchmarks.common.environment import (
    COMPILED,
    LOOP,
    missing_lava,
    missing_peer,
    missing_spikingjelly,
)
from benchmarks.common.measurement import (
    KEEP_FREED_MEMORY,
    Case,
    MeasuredRow,
    Options,
    race,
    timings,
)
from benchmarks.common.networks import LEAK, SIGMA, firing, random_spikes, spike_rates
from benchmarks.lava import timed_spikes
from benchmarks.simulate import BATCH, against_fastest, check_same_bits, ours, simulating
from benchmarks.transformer import normalised
from spikesam import LIF, Input, Layer, Network, Readout, quantise
from spikesam.commands import cores
from spikesam.simulators import make_backend

PEERS = (missing_spikingjelly,)
TIMESTEPS = 4  # with input
RATE = 0.15
SIZES, TINY_SIZES = (64, 224), (32,)
RECURRENT, TINY_RECURRENT = (700, 256, 100), (70, 16, 10)  # inputs, neurons and steps


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark; the residual ones with SpikingJelly alone, whose model it is."""
    yield Case("recurrent", partial(recurrent, options), KEEP_FREED_MEMORY)
    if missing_spikingjelly():
        return
    sizes = TINY_SIZES if options.tiny else SIZES
    for size in sizes:
        yield Case(
            f"SEW-ResNet-18, {size}×{size}", partial(compare, size, options), KEEP_FREED_MEMORY
        )
    if not missing_lava():
        yield Case(
            f"SEW-ResNet-18, {sizes[0]}×{sizes[0]}, Lava",
            partial(on_lava, sizes[0], options, scratch),
        )


def compare(size: int, options: Options) -> Iterator[MeasuredRow]:
    """One image, on all cores."""
    from benchmarks.common.peers import spikingjelly_calls

    case = f"SEW-ResNet-18, T = {TIMESTEPS}, {size}×{size}"
    model, given = sew_resnet(size, options.seed)
    network = spikesam.from_torch(model, given)
    spikes = np.zeros((network.timesteps, 1, *network.input_shape), np.bool_)
    spikes[:TIMESTEPS] = given.numpy() > 0
    fixed, peers = quantise(network), spikingjelly_calls(model, given, not options.tiny)
    ways = (
        ours(fixed, spikes)
        | peers
        | {"event, float32": simulating(make_backend("event"), network, spikes)}
    )
    timed = race(ways, options.repeats)
    check_same_bits(timed["event"].result, timed["torch"].result)
    acting, rates = network.timesteps / TIMESTEPS, spike_rates(fixed, timed["event"].result)
    of_window = {
        name: acting * rate for name, rate in rates.items() if name not in ("input", "answer")
    }
    notes = {
        "event": f"{firing(of_window)}, input at {RATE:.0%}; {cores()} cores",
        "torch": "the same bits as event",
        "event, float32": "real weights, as SpikingJelly has",
        "SpikingJelly": f"{TIMESTEPS} steps without delays, float32",
    }
    yield from timings(case, timed, "ms/image", 1000, notes)
    yield against_fastest(case, "event", timed, peers, 3.0)


def recurrent(options: Options) -> Iterator[MeasuredRow]:
    """Two dense layers, of which the first reads its own spikes, too; a batch on all cores."""
    import torch

    from spikesam.training import native_type

    inputs, neurons, steps = options.pick(RECURRENT, TINY_RECURRENT)
    network = recurrent_network((inputs, neurons, steps), options.seed)
    spikes = random_spikes(network.input_shape, steps, BATCH, RATE, options.seed)
    dtype = native_type()
    hidden, behind = network.layers
    synapses: list[Any] = [layer_input.synapse for layer_input in (*hidden.inputs, *behind.inputs)]
    weights = [
        torch.tensor(matrix, dtype=dtype).flatten(1).mT.contiguous()
        for matrix in (*(synapse.weight for synapse in synapses), network.readout.weight)
    ]
    arriving = torch.tensor(spikes).flatten(2).to(dtype)

    def fire(current: Any, before: Any, membrane: Any) -> tuple[Any, Any]:
        membrane = LEAK * membrane + current - before
        return (membrane > 1).to(dtype), membrane

    def step(current: Any, weight: Any, before: Any, membrane: Any) -> tuple[Any, Any]:
        return fire(current + before @ weight, before, membrane)

    @torch.inference_mode()
    def loop(fire: Any, step: Any) -> Any:
        """Products of all steps at once where nothing recurs."""
        first, own, then, last = weights
        fired, membrane = (torch.zeros(BATCH, neurons, dtype=dtype) for _ in range(2))
        hidden = []
        for current in arriving[:-1] @ first:
            fired, membrane = step(current, own, fired, membrane)
            hidden.append(fired)
        fired, membrane = (torch.zeros(BATCH, neurons, dtype=dtype) for _ in range(2))
        total = torch.zeros_like(fired)
        for current in torch.stack(hidden[:-1]) @ then:
            fired, membrane = fire(current, fired, membrane)
            total += fired
        return total @ last

    fixed, peers = quantise(network), {LOOP: partial(loop, fire, step)}
    if not options.tiny and not missing_peer(COMPILED):
        peers[COMPILED] = partial(loop, torch.compile(fire), torch.compile(step))
    ways = (
        ours(fixed, spikes)
        | peers
        | {"event, float32": simulating(make_backend("event"), network, spikes)}
    )
    timed = race(ways, options.repeats)
    check_same_bits(timed["event"].result, timed["torch"].result)
    case = f"recurrent, {inputs} inputs, {neurons} neurons twice, T = {steps}, batch {BATCH}"
    notes = {"event": firing(spike_rates(fixed, timed["event"].result))} | dict.fromkeys(
        peers, str(dtype)
    )
    yield from timings(case, timed, "ms/image", 1000 / BATCH, notes)
    yield against_fastest(case, "event", timed, peers, 3.0)


def recurrent_network(sizes: tuple[int, int, int], seed: int) -> Network:
    """Two dense layers of random weights, for so many inputs, neurons and steps."""
    inputs, neurons, steps = sizes
    rng = np.random.default_rng(seed)
    back, forward, further = (
        rng.standard_normal((neurons, seen), np.float32) for seen in (neurons, inputs, neurons)
    )
    back, forward, further = (
        SIGMA * (weight - weight.mean(1, keepdims=True)) / np.sqrt(RATE * weight.shape[1])
        for weight in (back, forward, further)
    )
    layers = (
        Layer("hidden", (Input(forward), Input(back, "hidden")), LIF(LEAK)),
        Layer("behind", Input(further), LIF(LEAK)),
    )
    readout = rng.standard_normal((10, neurons), np.float32)
    return Network((inputs, 1, 1), steps, layers, Readout(readout))


def on_lava(size: int, options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """A step through Lava's processes, every spike recorded."""
    network = quantise(spikesam.from_torch(*sew_resnet(size, options.seed)))
    spikes = random_spikes(
        network.input_shape, network.timesteps, options.repeats + 1, RATE, options.seed
    )
    timed = timed_spikes(network, "event", spikes, scratch)
    case = f"SEW-ResNet-18, {size}×{size}"
    about = (
        f"{len(network.layers)} layers, input at {RATE:.0%} at each of {network.timesteps} "
        f"steps; {cores()} cores"
    )
    yield MeasuredRow(case, "Lava", "ms/step", 1000 * timed.seconds, at_most=50.0, note=about)


def sew_resnet(size: int, seed: int) -> tuple[Any, Any]:
    """SpikingJelly's own model of random weights, all steps of a layer at a time, and spikes (T, 1,
    C, H, W).
    """
    import torch

    from benchmarks.common.peers import spikingjelly

    functional, neuron = spikingjelly().functional, spikingjelly().neuron
    from spikingjelly.activation_based.model import sew_resnet as models

    torch.manual_seed(seed)
    model = models.sew_resnet18(num_classes=10, cnf="ADD", spiking_neuron=neuron.LIFNode)
    functional.set_step_mode(model, "m")
    spikes = (torch.rand(TIMESTEPS, 1, 3, size, size) < RATE).float()
    return normalised(model, spikes), spikes
