"""SpikingJelly's NonSpiking nodes give a list, a tensor for each step, and keep their membranes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import spikesam
from tests.pipeline.imports.models import Jelly, loud, spikes

pytest.importorskip("spikingjelly")


def read_out() -> Any:
    torch.manual_seed(0)
    neuron = Jelly("neuron")
    fires = neuron.IFNode(step_mode="m", v_threshold=0.3)
    last = neuron.NonSpikingLIFNode()
    return loud(nn.Sequential(nn.Linear(10, 12), fires, nn.Linear(12, 3), last))


@pytest.mark.parametrize("decode", [None, "last_mem"])
def test_membranes_of_an_earlier_run_do_not_count(decode: str | None) -> None:
    model, example = read_out(), spikes(6, 3, 10)
    model[3].decode = decode
    with torch.no_grad():
        model(example)
    Jelly("functional").reset_net(model)
    network = spikesam.from_torch(model, example)
    assert network.readout.leak == 0.5


def test_a_list_of_steps_is_added_up(tmp_path: Path) -> None:
    model, example = read_out(), spikes(6, 3, 10)
    with torch.no_grad(), spikesam.record(model, tmp_path / "a.h5") as recording:
        steps = model(example)
        recording.finish(steps)
    scores = torch.from_numpy(recording.raster.readout[:])
    assert torch.allclose(scores, torch.stack(steps).sum(0))
    with (
        pytest.raises(spikesam.InputError, match="got a list of 2, expected .* of 6 tensors of"),
        torch.no_grad(),
        spikesam.record(model, tmp_path / "b.h5") as recording,
    ):
        recording.finish(model(example)[:2])
