"""Models that are recorded with their operations, and the counts of a recording."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import spikesam
from spikesam.recordings.counted_operations import operations_beside

Counts = dict[str, list[list[list[int]]]]  # module -> sample -> additions and multiplications


class Fires(nn.Module):
    """A spike where a number is at least 1, or a step's number is."""

    def forward(self, x: Tensor) -> Tensor:
        return (x >= 1).to(x)


def counted(folder: Path) -> Counts:
    with (
        spikesam.open_raster(folder / "raster.h5") as raster,
        operations_beside(raster) as operations,
    ):
        assert operations is not None
        samples = np.stack([operations.sample(number) for number in range(raster.n_samples)])
        names = [module.name for module in operations.modules]
        return {name: samples[:, row].tolist() for row, name in enumerate(names)}


def recorded(
    model: nn.Module, inputs: Tensor, folder: Path, *, loop: bool = False, **options: Any
) -> Counts:
    with torch.no_grad(), spikesam.record(model, folder, operations=True, **options) as recording:
        for step in inputs if loop else [inputs]:
            model(step)
        recording.finish()
    return counted(folder)
