"""Networks that no library knows, as people write them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import spikesam


def run(model: nn.Module, out: Path, *inputs: Tensor, **options: Any) -> spikesam.RasterReader:
    """Record a batch: a call of the model for each of the inputs."""
    with spikesam.record(model, out, overwrite=True, **options) as recording:
        for each in inputs:
            model(each)
        recording.finish()
    return recording.raster


class Fire(nn.Module):
    """A neuron's threshold as a module of its own."""

    def forward(self, membrane: Tensor) -> Tensor:
        return (membrane > 0.5).to(membrane.dtype)


class Neuron(nn.Module):
    """Integrates and fires, one step a call; `membrane` lasts until `reset`."""

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        self.membrane: Tensor | float = 0.0

    def forward(self, current: Tensor) -> Tensor:
        membrane = 0.9 * self.membrane + current
        spikes = (membrane > 0.5).to(current.dtype)
        self.membrane = membrane - 0.5 * spikes
        return spikes


class AllSteps(Neuron):
    """The neuron over (T, B, …)."""

    def forward(self, currents: Tensor) -> Tensor:
        self.reset()
        return torch.stack([super(AllSteps, self).forward(current) for current in currents])


class Net(nn.Module):
    """Convolution, pooling and two layers of neurons, (B, 2, 6, 6) -> (B, 4): spikes of one step;
    keeps all spikes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif1, self.pool, self.flatten = (
            nn.Conv2d(2, 5, 3),
            Neuron(),
            nn.AvgPool2d(2),
            nn.Flatten(),
        )
        self.dropout, self.fc, self.lif2 = nn.Dropout(), nn.Linear(20, 4), Neuron()
        self.fired: list[tuple[Tensor, Tensor]] = []
        self.eval().requires_grad_(False)
        self.fc.weight.abs_()  # so that lif2 fires

    def reset(self) -> None:
        self.lif1.reset()
        self.lif2.reset()
        self.fired.clear()

    def forward(self, image: Tensor) -> Tensor:
        first = self.lif1(self.conv(image))
        last = self.lif2(self.fc(self.dropout(self.flatten(self.pool(first)))))
        self.fired.append((first.clone(), last.clone()))
        return last

    def expected(self) -> list[Tensor]:
        """(T, B, …) of both layers since the reset."""
        return [torch.stack(spikes) for spikes in zip(*self.fired, strict=True)]
