"""SpikingJelly up to 0.0.0.0.12, which Spikformer, QKFormer, Spike-driven Transformer and SEW-ResNet import."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import spikesam
from tests.pipeline.record import clock_driven

T, B = 6, 3
VARIABLE = "SPIKESAM_OLD_SPIKINGJELLY"


def run_in_two_layers(neuron: Any, out: Path) -> None:
    """Record and import a network of multi-step neurons, and compare both with what they fired themselves."""
    first = neuron.MultiStepLIFNode(tau=1.5, v_threshold=0.3)
    last = neuron.MultiStepIFNode(v_threshold=0.2, v_reset=None)
    model = nn.Sequential(nn.Linear(8, 12, bias=False), first, nn.Linear(12, 4, bias=False), last).eval()
    spikes = (torch.rand(T, B, 8) < 0.5).float()
    fired: dict[Any, Any] = {}
    for module in (first, last):
        module.register_forward_hook(lambda module, _, output: fired.update({module: output.bool().numpy()}))
    with warnings.catch_warnings(), spikesam.record(model, out) as recording:
        warnings.simplefilter("error", UserWarning)
        for _ in range(2):
            for module in (first, last):
                module.reset()
            recording.finish(model(spikes))
    for layer, expected in zip(recording.raster, fired.values(), strict=True):
        assert 0 < expected.mean() < 1
        assert np.array_equal(recording.raster[layer][:][..., 0, 0], np.concatenate([expected, expected], 1))
    network = spikesam.from_torch(model, spikes)  # proves itself: no bit differs
    assert [layer.neuron.reset for layer in network.layers] == ["zero", "subtract"]


def test_multi_step_neurons_are_recorded_and_imported(tmp_path: Path) -> None:
    run_in_two_layers(clock_driven, tmp_path)


def test_single_step_neurons_are_recorded_and_imported(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(8, 12, bias=False), clock_driven.LIFNode(v_threshold=0.2)).eval()
    spikes = (torch.rand(T, B, 8) < 0.5).float()
    with spikesam.record(model, tmp_path) as recording:
        fired = torch.stack([model(step) for step in spikes])
        recording.finish(fired)
    assert np.array_equal(recording.raster["lifnode_1"][:][..., 0, 0], fired.bool())
    assert spikesam.from_torch(model, spikes).layers[0].neuron.leak == 0.5


def test_state_is_warned_of_and_other_neurons_are_refused_by_name(tmp_path: Path) -> None:
    class MultiStepEIFNode(clock_driven.MultiStepIFNode):
        pass

    model = nn.Sequential(nn.Linear(8, 4), clock_driven.MultiStepIFNode()).eval()
    with spikesam.record(model, tmp_path) as recording:
        model(torch.rand(T, B, 8))
        recording.finish()
        with pytest.warns(UserWarning, match="layer 'multistepifnode_1': begins a batch with the membrane"):
            model(torch.rand(T, B, 8))
        recording.finish()
    MultiStepEIFNode.__bases__ = (clock_driven.BaseNode,)
    MultiStepEIFNode.__module__ = clock_driven.NEURONS
    model[1] = MultiStepEIFNode().eval()
    with pytest.raises(spikesam.NetworkError, match="has an equation that is not known here; IFNode, HalfThreshold"):
        spikesam.from_torch(model, torch.ones(T, B, 8))


@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} names no folder that holds an old SpikingJelly")
def test_the_real_one(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from pathlib import Path; from spikingjelly.clock_driven import neuron; "
        "from tests.pipeline.record.test_old_spikingjelly import run_in_two_layers; "
        "torch.manual_seed(0); torch.set_grad_enabled(False); run_in_two_layers(neuron, Path(sys.argv[1]))"
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
