"""Relevance of a torch model by one backward pass, beside the model's own passes.

The models are SpikingJelly's SEW-ResNet-18 at three sizes and a loop of snnTorch, with random
weights. Alone, the model runs forward and backward from its class scores by its surrogate
gradients, for its weights; `record(why=)` does so by shares of the membrane, for all spikes, which
it records, and writes both down. Times are those of the processor, on one core, which others that
use the machine change little.
"""

from __future__ import annotations

import gc
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
    megabytes,
    race,
    timings,
)
from benchmarks.transformer import normalised

PEERS = (missing_spikingjelly,)
ALONE, EXPLAINED = "forward and backward", "record(why=)"
RATIO = f"{EXPLAINED} ÷ {ALONE}"
Call = Callable[[], Any]
TIMESTEPS, BATCHES, BATCH, CLASSES = 4, 4, 4, 10
TIME, MEMORY = 2.0, 1.5  # the most that relevance may take of the model's own
PIXELS = (32, 64, 128)
LOOP_STEPS = 25
ENVIRONMENT = KEEP_FREED_MEMORY | {"OMP_NUM_THREADS": "1"}  # threads that wait count as work


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark."""
    loop = options.pick(128, 8)
    models: dict[str, Callable[[], tuple[Any, Call]]] = {
        f"snnTorch, three layers, T = {LOOP_STEPS}": partial(snntorch_loop, loop, options.seed)
    }
    if not missing_spikingjelly():
        for pixels in options.pick(PIXELS, (32,)):
            name = f"SEW-ResNet-18, {pixels}×{pixels}, T = {TIMESTEPS}"
            models[name] = partial(sew_resnet, pixels, options.seed)
    for name, make in models.items():
        yield Case(f"{name}: time", partial(speed, name, make, options, scratch), ENVIRONMENT)
        rows = partial(memory, name, make, options, scratch)
        yield Case(f"{name}: memory", rows, {"OMP_NUM_THREADS": "1"}, alone=True)


def speed(
    name: str, make: Callable[[], tuple[Any, Call]], options: Options, scratch: Path
) -> Iterator[MeasuredRow]:
    """Time of the processor for some batches, and for one, which bears a recording's files."""
    for batches, wanted in ((BATCHES, TIME), (1, None)):
        timed = race(ways_of(make, batches, scratch), options.repeats, time.process_time)
        case = f"{name}, {batches} × {BATCH} images"
        yield from timings(case, timed, "CPU ms/image", 1000 / (batches * BATCH))
        shares = timed[EXPLAINED].seconds / timed[ALONE].seconds
        yield MeasuredRow(case, RATIO, "×", shares, at_most=wanted)


def memory(
    name: str, make: Callable[[], tuple[Any, Call]], options: Options, scratch: Path
) -> Iterator[MeasuredRow]:
    """The most memory of the process meanwhile."""
    case, used = f"{name}, {BATCHES} × {BATCH} images", {}
    ways = ways_of(make, BATCHES, scratch)
    for run in ways.values():
        run()  # what is loaded and made once
    for way, run in ways.items():
        gc.collect()
        used[way] = megabytes(run)
        yield MeasuredRow(case, way, "MB", (used[way],))
    share = used[EXPLAINED] / used[ALONE]
    yield MeasuredRow(case, RATIO, "× MB", (share,), at_most=MEMORY)


def ways_of(
    make: Callable[[], tuple[Any, Call]], batches: int, scratch: Path
) -> dict[str, Callable[[], object]]:
    """Both ways to run a model, which `make` gives with its call from rest."""
    model, call = make()
    return {
        ALONE: partial(alone, model, call, batches),
        EXPLAINED: partial(explained, model, call, batches, scratch),
    }


def alone(model: Any, call: Call, batches: int) -> None:
    """The model's own passes."""
    for _ in range(batches):
        call().amax(1).sum().backward()
        model.zero_grad()


def explained(model: Any, call: Call, batches: int, scratch: Path) -> None:
    """The relevance of all spikes for the answers, to disk; the files are removed."""
    import spikesam

    with (
        tempfile.TemporaryDirectory(dir=scratch) as out,
        spikesam.record(model, Path(out) / "new", why="answer") as recording,
    ):
        for _ in range(batches):
            recording.finish(call())


def sew_resnet(pixels: int, seed: int) -> tuple[Any, Call]:
    """SpikingJelly's model, and a call of it."""
    import torch

    from benchmarks.common.peers import spikingjelly

    package = spikingjelly()
    from spikingjelly.activation_based.model.sew_resnet import sew_resnet18

    torch.manual_seed(seed)
    model = sew_resnet18(
        cnf="ADD",
        num_classes=CLASSES,
        spiking_neuron=package.neuron.IFNode,
        surrogate_function=package.surrogate.ATan(),
        detach_reset=True,
    )
    package.functional.set_step_mode(model, "m")
    images = torch.rand(1, BATCH, 3, pixels, pixels).expand(TIMESTEPS, -1, -1, -1, -1).contiguous()
    model = normalised(model, images)

    def call() -> Any:
        package.functional.reset_net(model)
        return model(images).mean(0)

    return model, call


def snntorch_loop(channels: int, seed: int) -> tuple[Any, Call]:
    """Two convolutions and a dense layer, step by step, and a call of all steps."""
    import snntorch
    import torch
    from torch import nn

    def neurons() -> Any:
        return snntorch.Leaky(0.9, threshold=0.3, init_hidden=True)

    torch.manual_seed(seed)
    model = nn.Sequential(
        *(nn.Conv2d(3, channels, 3, padding=1), neurons(), nn.AvgPool2d(2)),
        *(nn.Conv2d(channels, channels, 3, padding=1), neurons(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(channels * 64, CLASSES), neurons()),
    ).eval()
    images = torch.rand(BATCH, 3, 32, 32)

    def call() -> Any:
        for module in model.modules():
            if isinstance(module, snntorch.Leaky):
                module.reset_mem()
        return torch.stack([model(images) for _ in range(LOOP_STEPS)]).sum(0)

    return model, call
