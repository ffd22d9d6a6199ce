"""Products of spikes: attention beside two products of matrices in torch, and Spikformer beside
SpikingJelly.

The model is SpikingJelly's own, with random weights and normalisation after the images, so that it
fires; it is imported, and proves itself. SpikingJelly takes all steps of a layer at a time, in real
numbers, as it is and through torch.compile; the faster of both counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.environment import missing_spikingjelly
from benchmarks.common.measurement import (
    KEEP_FREED_MEMORY,
    Case,
    MeasuredRow,
    Options,
    race,
    ratio,
    timings,
)
from benchmarks.common.networks import firing, spike_rates
from benchmarks.convert import simulating
from spikesam.common.parallel import cores

PEERS = (missing_spikingjelly,)
HEADS, DEPTH, SIDE, RATE = 8, 64, 14, 0.15  # of attention alone: 196 tokens
CALLS = 100  # of attention that are timed together
TIMESTEPS, BATCH = 4, 8
PIXELS = (64, 16)  # and where the command is only tried
MODEL: Any = {
    "patch_size": 4,
    "num_classes": 10,
    "embed_dims": 128,
    "num_heads": 4,
    "depths": 2,
}  # 16 × 16 tokens


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark."""
    yield Case(
        "attention", partial(attention, options), KEEP_FREED_MEMORY | {"OMP_NUM_THREADS": "1"}
    )
    if not missing_spikingjelly():
        yield Case("Spikformer", partial(spikformer, options), KEEP_FREED_MEMORY)


def attention(options: Options) -> Iterator[MeasuredRow]:
    """One step of one sample, on one core."""
    import torch

    from spikesam.backends.event.kernels import attention
    from spikesam.backends.event.kernels.compiled import entry

    attend = entry(attention.attend)
    shape, rng = (SIDE, SIDE, HEADS * DEPTH), np.random.default_rng(options.seed)
    maps = [rng.random(shape) < RATE for _ in range(3)]
    q, k, v = (
        torch.tensor(each).view(-1, HEADS, DEPTH).transpose(0, 1).float().contiguous()
        for each in maps
    )
    room, current = attention.attention_room(DEPTH), np.zeros(shape, np.int32)
    ways: dict[str, Callable[[], Any]] = {
        "event": lambda: attend(*maps, (0, 0, 0), room, current),
        "torch, (q kᵀ) v": lambda: (q @ k.mT) @ v,
        "torch, q (kᵀ v)": lambda: q @ (k.mT @ v),
    }
    timed = race({name: partial(_again, way) for name, way in ways.items()}, options.repeats)
    for name in [*ways][1:]:
        if not np.array_equal(timed[name].result.transpose(0, 1).numpy().reshape(shape), current):
            raise AssertionError(f"{name}: other sums than those of event")
    case = f"attention, {SIDE**2} tokens, {HEADS} heads of {DEPTH}, {RATE:.0%} fire"
    yield from timings(case, timed, "µs", 1e6 / CALLS, dict.fromkeys(ways, "one core, equal sums"))
    yield from (ratio(case, timed, name, "event", at_least=3.0) for name in [*ways][1:])


def _again(way: Callable[[], Any]) -> Any:
    """What a way gives at the last of some calls."""
    for _ in range(CALLS - 1):
        way()
    return way()


def spikformer(options: Options) -> Iterator[MeasuredRow]:
    """A batch of images, from their numbers to the answer, on all cores."""
    import torch

    import spikesam
    from benchmarks.common.peers import spikingjelly_calls

    torch.set_num_threads(cores())
    model, images = normalised_spikformer(options)
    pixels = images.shape[-1]
    network = spikesam.from_torch(model, images[:2], timesteps=TIMESTEPS)
    ways = {
        "event": simulating(spikesam.quantise(network), images),
        "event, float32": simulating(network, images),
    }
    timed = race(ways | spikingjelly_calls(model, images, not options.tiny), options.repeats)
    rates = spike_rates(network, timed["event, float32"].result)
    acting = network.timesteps / TIMESTEPS
    note = firing({name: acting * rate for name, rate in rates.items() if name != "answer"})
    case = f"Spikformer, T = {TIMESTEPS}, {pixels}×{pixels}, batch {BATCH}"
    yield from timings(case, timed, "ms/image", 1000 / BATCH, {"event": note})
    fastest = np.min(
        [found.seconds for name, found in timed.items() if name.startswith("SpikingJelly")], axis=0
    )
    ratios = fastest / timed["event"].seconds
    yield MeasuredRow(case, "the faster of SpikingJelly ÷ event", "×", ratios, at_least=2.0)


def normalised_spikformer(options: Options) -> tuple[Any, Any]:
    """SpikingJelly's own model, and a batch of images, (B, 3, H, W)."""
    import torch

    from benchmarks.common.peers import spikingjelly

    pixels = PIXELS[options.tiny]
    spikingjelly()  # without its warnings
    from spikingjelly.activation_based.model.spikformer import Spikformer

    torch.manual_seed(options.seed)
    images = torch.randn(BATCH, 3, pixels, pixels)
    return normalised(Spikformer(TIMESTEPS, 3, pixels, pixels, **MODEL), images), images


def normalised(model: Any, inputs: Any) -> Any:
    """A model of random weights, whose currents are normalised as these inputs cause them, so that
    it fires.
    """
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None
            torch.nn.init.uniform_(module.weight, 1, 2)
    with torch.no_grad():
        model.train()(inputs)
    return model.eval()
