"""A small network that is recorded while it runs, with pictures and names of what it is shown."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from snntorch import utils
from torch import Tensor, nn

from spikesam.pipeline.record.record import record
from tests.pipeline.imports.models import Written, fires

T, B = 5, 3


def step(m: Any, image: Tensor) -> Tensor:
    return m.lif2(m.fc2(m.lif1(m.conv1(image)).flatten(1)))


def net(forward: Callable[[Any, Tensor], Any] = step) -> Any:
    """Two layers that keep their membranes; one step a call."""
    first, last = {"conv1": nn.Conv2d(2, 5, 3), "lif1": fires(0.4, 0.9)}, {"fc2": nn.Linear(80, 4)}
    return Written(forward, **first, **last, lif2=fires(0.4, 0.9)).eval()


def images(batch: int = B, steps: int = T) -> Tensor:
    return torch.rand(steps, batch, 2, 6, 6) * 2


def run(model: nn.Module, batch: Tensor) -> Tensor:
    """(T, B, K) from rest."""
    utils.reset(model)
    return torch.stack([model(image) for image in batch])


NAMES = ["cat", "dog", "cat", "bird"]


def record_images(out: Path, shown: Any, **options: Any) -> None:
    model = net()
    with record(model, out, **options) as recording:
        for _ in range(2):
            recording.finish(run(model, images()), labels=[0, 1, 3], images=shown)
