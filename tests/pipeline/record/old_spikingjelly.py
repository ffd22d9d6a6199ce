"""Doubles of the neurons of SpikingJelly up to 0.0.0.0.12, where those over all steps are classes
of their own; and a test that real ones pass, too.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import spikesam

T, B = 6, 3
NEURONS = "spikingjelly.clock_driven.neuron"


class MemoryModule(nn.Module):
    """Holds state until `reset`."""

    def __init__(self, v_threshold: float = 1.0, v_reset: float | None = 0.0) -> None:
        super().__init__()
        self.v_threshold, self.v_reset = v_threshold, v_reset
        self.reset()

    def reset(self) -> None:
        self.v: float | Tensor = self.v_reset or 0.0

    def charge(self, current: Tensor) -> Tensor:
        return self.v + current

    def forward(self, current: Tensor) -> Tensor:
        charged = self.charge(current)
        fired = (charged >= self.v_threshold).to(current)
        hard = self.v_reset is not None
        self.v = (
            torch.where(fired > 0, self.v_reset, charged)
            if hard
            else charged - fired * self.v_threshold
        )
        return fired


class BaseNode(MemoryModule):
    pass


class IFNode(BaseNode):
    pass


class LIFNode(BaseNode):
    def __init__(
        self, tau: float = 2.0, v_threshold: float = 1.0, v_reset: float | None = 0.0
    ) -> None:
        super().__init__(v_threshold, v_reset)
        self.tau = tau

    def charge(self, current: Tensor) -> Tensor:
        return self.v + (current - (self.v - (self.v_reset or 0.0))) / self.tau


class MultiStepIFNode(IFNode):
    def forward(self, currents: Tensor) -> Tensor:
        return torch.stack([super(MultiStepIFNode, self).forward(current) for current in currents])


class MultiStepLIFNode(LIFNode):
    def forward(self, currents: Tensor) -> Tensor:
        return torch.stack([super(MultiStepLIFNode, self).forward(current) for current in currents])


for kind in (BaseNode, IFNode, LIFNode, MultiStepIFNode, MultiStepLIFNode):
    kind.__module__ = NEURONS
MemoryModule.__module__ = "spikingjelly.clock_driven.base"


def run_in_two_layers(neuron: Any, out: Path) -> None:
    """Record and import a network of multi-step neurons, and compare both with what they fired
    themselves.
    """
    first = neuron.MultiStepLIFNode(tau=1.5, v_threshold=0.3)
    last = neuron.MultiStepIFNode(v_threshold=0.2, v_reset=None)
    model = nn.Sequential(
        nn.Linear(8, 12, bias=False), first, nn.Linear(12, 4, bias=False), last
    ).eval()
    spikes = (torch.rand(T, B, 8) < 0.5).float()
    fired: dict[Any, Any] = {}
    for module in (first, last):
        module.register_forward_hook(
            lambda module, _, output: fired.update({module: output.bool().numpy()})
        )
    with warnings.catch_warnings(), spikesam.record(model, out) as recording:
        warnings.simplefilter("error", UserWarning)
        for _ in range(2):
            for module in (first, last):
                module.reset()
            recording.finish(model(spikes))
    for layer, expected in zip(recording.raster, fired.values(), strict=True):
        assert 0 < expected.mean() < 1
        assert np.array_equal(
            recording.raster[layer][:][..., 0, 0], np.concatenate([expected, expected], 1)
        )
    network = spikesam.from_torch(model, spikes)  # proves itself: no bit differs
    assert [layer.neuron.reset for layer in network.layers] == ["zero", "subtract"]
