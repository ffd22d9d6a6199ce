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
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import spikesam
from tests.pipeline.record import old_spikingjelly
from tests.pipeline.record.old_spikingjelly import (
    NEURONS,
    B,
    BaseNode,
    LIFNode,
    MultiStepIFNode,
    T,
    run_in_two_layers,
)

VARIABLE = "SPIKESAM_OLD_SPIKINGJELLY"


def test_multi_step_neurons_are_recorded_and_imported(tmp_path: Path) -> None:
    run_in_two_layers(old_spikingjelly, tmp_path)


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
        "from tests.pipeline.record.old_spikingjelly import run_in_two_layers; "
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
