"""Operations of a torch model that are counted while it is recorded, beside the recording alone.

The models are SpikingJelly's QKFormer-10-384 and Spike-driven Transformer 8-384 for photographs,
with random weights and normalisation after the images, so that they fire. Times are those of the
processor, on one core, which others that use the machine change little.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common.environment import missing_spikingjelly
from benchmarks.common.measurement import (
    KEEP_FREED_MEMORY,
    Case,
    MeasuredRow,
    Options,
    race,
    timings,
)
from benchmarks.transformer import normalised

PEERS = (missing_spikingjelly,)
RECORDED, COUNTED = "record()", "record(operations=True)"
TIMESTEPS, PIXELS = 4, (224, 32)  # and where the command is only tried
TIME = 1.15  # the most that counting may take of the recording's time
ENVIRONMENT = KEEP_FREED_MEMORY | {"OMP_NUM_THREADS": "1"}  # threads that wait count as work
MODELS = {"QKFormer-10-384": "qkformer", "Spike-driven Transformer 8-384": "driven"}


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark."""
    if missing_spikingjelly():
        return
    for name, kind in MODELS.items():
        yield Case(name, partial(speed, name, kind, options, scratch), ENVIRONMENT)


def speed(name: str, kind: str, options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """Time of the processor for one image and two, which a recording's files weigh less on."""
    call = model_of(kind, options)
    for batches in (1, 2):
        ways = {
            way: partial(recorded, *call, batches, scratch, operations=way == COUNTED)
            for way in (RECORDED, COUNTED)
        }
        timed = race(ways, options.repeats, time.process_time)
        pixels = PIXELS[options.tiny]
        case = f"{name}, {pixels}×{pixels}, T = {TIMESTEPS}, images one by one: {batches}"
        yield from timings(case, timed, "CPU ms/image", 1000 / batches)
        shares = timed[COUNTED].seconds / timed[RECORDED].seconds
        yield MeasuredRow(case, f"{COUNTED} ÷ {RECORDED}", "×", shares, at_most=TIME)


def recorded(
    model: Any, call: Callable[[], Any], batches: int, scratch: Path, *, operations: bool
) -> None:
    """A recording to disk; its files are removed."""
    import torch

    import spikesam

    with (
        tempfile.TemporaryDirectory(dir=scratch) as out,
        torch.no_grad(),
        spikesam.record(model, Path(out) / "new", operations=operations) as recording,
    ):
        for _ in range(batches):
            recording.finish(call())


def model_of(kind: str, options: Options) -> tuple[Any, Callable[[], Any]]:
    """SpikingJelly's model, and a call of it from rest."""
    import torch

    from benchmarks.common.peers import spikingjelly

    package = spikingjelly()
    from spikingjelly.activation_based.model.qkformer import qkformer_10_384
    from spikingjelly.activation_based.model.spike_driven_transformer import sdt_8_384

    torch.manual_seed(options.seed)
    model = (qkformer_10_384 if kind == "qkformer" else sdt_8_384)(T=TIMESTEPS)
    package.functional.set_step_mode(model, "m")
    images = torch.randn(1, 3, PIXELS[options.tiny], PIXELS[options.tiny])
    model = normalised(model, images)

    def call() -> Any:
        package.functional.reset_net(model)
        return model(images)

    return model, call
