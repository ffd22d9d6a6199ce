"""Products of spikes: Spikformer beside SpikingJelly.

The model is SpikingJelly's own, with random weights and normalisation after the images, so that it
fires; it is imported, and proves itself. SpikingJelly takes all steps of a layer at a time, in real
numbers, as it is and through torch.compile; the faster of both counts.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    timings,
)
from benchmarks.common.networks import firing, spike_rates
from benchmarks.convert import simulating
from spikesam.commands import cores

PEERS = (missing_spikingjelly,)
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
    if not missing_spikingjelly():
        yield Case("Spikformer", partial(spikformer, options), KEEP_FREED_MEMORY)


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
