"""SpikingJelly up to 0.0.0.0.12, which Spikformer, QKFormer, Spike-driven Transformer and
SEW-ResNet import.

Neurons over all steps are classes of their own there, without a `step_mode`. The doubles of what
its neurons say and do have the names of their package, which cannot be installed beside a newer
one. The same test passes on the real 0.0.0.0.8, .10 and .12: set SPIKESAM_OLD_SPIKINGJELLY to a
folder that holds one.
"""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesam

T, B = 6, 3
VARIABLE = "SPIKESAM_OLD_SPIKINGJELLY"
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


def test_multi_step_neurons_are_recorded_and_imported(tmp_path: Path) -> None:
    run_in_two_layers(sys.modules[__name__], tmp_path)


def test_single_step_neurons_are_recorded_and_imported(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(8, 12, bias=False), LIFNode(v_threshold=0.2)).eval()
    spikes = (torch.rand(T, B, 8) < 0.5).float()
    with spikesam.record(model, tmp_path) as recording:
        fired = torch.stack([model(step) for step in spikes])
        recording.finish(fired)
    assert np.array_equal(recording.raster["lifnode_1"][:][..., 0, 0], fired.bool())
    assert spikesam.from_torch(model, spikes).layers[0].neuron.leak == 0.5


def test_state_is_warned_of_and_other_neurons_are_refused_by_name(tmp_path: Path) -> None:
    class MultiStepEIFNode(MultiStepIFNode):
        pass

    model = nn.Sequential(nn.Linear(8, 4), MultiStepIFNode()).eval()
    with spikesam.record(model, tmp_path) as recording:
        model(torch.rand(T, B, 8))
        recording.finish()
        with pytest.warns(
            UserWarning, match="layer 'multistepifnode_1': begins a batch with the membrane"
        ):
            model(torch.rand(T, B, 8))
        recording.finish()
    MultiStepEIFNode.__bases__ = (BaseNode,)
    MultiStepEIFNode.__module__ = NEURONS
    model[1] = MultiStepEIFNode().eval()
    with pytest.raises(
        spikesam.NetworkError, match="has an equation that is not known here; IFNode, HalfThreshold"
    ):
        spikesam.from_torch(model, torch.ones(T, B, 8))


@pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no folder that holds an old SpikingJelly"
)
def test_the_real_one(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from pathlib import Path; from spikingjelly.clock_driven import "
        "neuron; "
        "from tests.pipeline.record.test_old_spikingjelly import run_in_two_layers; "
        "torch.manual_seed(0); torch.set_grad_enabled(False); run_in_two_layers(neuron, "
        "Path(sys.argv[1]))"
    )
    paths = os.pathsep.join([os.environ[VARIABLE], str(Path(spikesam.__file__).parents[1])])
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "real")],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
