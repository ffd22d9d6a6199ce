"""SpikingJelly as it was up to 0.0.0.0.12: neurons over all steps are classes of their own, without a `step_mode`.

Doubles of what its neurons say and do, under the names of their package, which cannot be installed beside a newer one.
The same test passes on the real 0.0.0.0.8, .10 and .12: set SPIKESAM_OLD_SPIKINGJELLY to a folder that holds one.
"""

import torch
from torch import Tensor, nn

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
        self.v = torch.where(fired > 0, self.v_reset, charged) if hard else charged - fired * self.v_threshold
        return fired


class BaseNode(MemoryModule):
    pass


class IFNode(BaseNode):
    pass


class LIFNode(BaseNode):
    def __init__(self, tau: float = 2.0, v_threshold: float = 1.0, v_reset: float | None = 0.0) -> None:
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
