"""Training: forward, backward and optimiser step of a network with BNTT, beside snnTorch and
SpikingJelly.

All have the same layers, delays and neurons, lay images out channels last and, if nothing else is
said, convolve in bfloat16, or without AVX-512 in float32. SpikingJelly has no BNTT: its
normalisation is one for all steps, which is less work. `spikesam train` has glibc keep freed
memory; all are measured that way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torch.nn import functional

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
from benchmarks.common.peers import training_peers
from spikesam.settings import NetworkSection
from spikesam.training import SpikingNetwork, native_type

PEERS = (missing_spikingjelly,)
CLASSES = 10
DENSITY = 0.2  # of the input's spikes, half of them negative
LEARNING_RATE = 2e-3
TARGET = 2.5  # times the speed of the best peer, of the fused operation
NOTES = {
    "fused": "what spikesam train does on a CPU, in the faster type",
    "not fused": "what it does elsewhere: all steps of a layer, then the next layer",
    "snnTorch": "all layers of a step, then the next step; membranes in the same type",
    "SpikingJelly": "one normalisation for all steps; membranes in the same type",
}
SIX_LAYERS = NetworkSection(
    layers=(16, "P", 32, 32, "P", 64, 64, "P", 64, "P4", "D128"), timesteps=10
)
HALF_VGG11 = NetworkSection(
    layers=(32, "P", 64, "P", 128, 128, "P", 256, 256, "P", 256, 256, "P4", "D2048"), timesteps=30
)


@dataclass(frozen=True)
class Sizes:
    """Sizes that are trained."""

    network: NetworkSection = SIX_LAYERS
    size: int = 64
    batch: int = 32


VGG11_SIZES = Sizes(HALF_VGG11, batch=8)
TINY_SIZES = Sizes(NetworkSection(layers=(4, "P", 6, "P4", "D8"), timesteps=6), 16, 4)


def size_of(options: Options) -> Sizes:
    """Six layers."""
    return options.pick(Sizes(), TINY_SIZES)


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark."""
    kept = {"six layers": size_of(options)} | (
        {} if options.tiny else {"VGG11 at half width, T 30": VGG11_SIZES}
    )
    for name, trained in kept.items():
        yield Case(name, partial(compare, trained, name, options), KEEP_FREED_MEMORY)


def compare(sizes: Sizes, case: str, options: Options) -> Iterator[MeasuredRow]:
    """Every way to train on one batch."""
    peers = training_peers(sizes.network, sizes.size, CLASSES)
    ours = {
        "fused": spiking_network(sizes, fused=True),
        "not fused": spiking_network(sizes, fused=False),
    }
    networks = ours | peers
    steps = {way: Step(network, sizes, options.seed) for way, network in networks.items()}
    if native_type() != torch.float32:
        both = {"fused": ours["fused"]} | peers
        steps |= {
            f"{way}, float32": Step(network, sizes, options.seed, torch.float32)
            for way, network in both.items()
        }
    timed = race(steps, options.repeats)
    yield from timings(case, timed, "images/s", sizes.batch, NOTES)

    def fastest(ways: Iterable[str]) -> str:
        return min(
            (step for step in steps if step.startswith(tuple(ways))),
            key=lambda way: median(timed[way].seconds),
        )

    yield ratio(
        case, timed, fastest(peers), fastest(["fused"]), at_least=TARGET, note="the fastest of each"
    )


class Step:
    """A training step on one batch of random spikes and labels; a call makes it."""

    def __init__(
        self,
        network: nn.Module,
        sizes: Sizes,
        seed: int,
        dtype: torch.dtype | None = None,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        shape = (sizes.network.timesteps, sizes.batch, 3, sizes.size, sizes.size)
        random = torch.rand(shape, generator=generator)
        self.spikes = (random < DENSITY / 2).float() - (random > 1 - DENSITY / 2).float()
        self.labels = torch.randint(CLASSES, (sizes.batch,), generator=generator)
        self.network = network.train().to(memory_format=torch.channels_last)
        self.dtype = dtype or native_type()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), LEARNING_RATE)

    def __call__(self) -> None:
        """Forward, backward, optimiser."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            logits = self.network(self.spikes)
        self.optimizer.zero_grad()
        functional.cross_entropy(logits.float(), self.labels).backward()
        self.optimizer.step()


def spiking_network(sizes: Sizes, fused: bool) -> SpikingNetwork:
    """Network of spikesam train."""
    return SpikingNetwork(sizes.network, (3, sizes.size, sizes.size), CLASSES, fused=fused)
