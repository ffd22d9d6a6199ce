"""NeuroBench's harness and a recording say the same of one network: its own for gestures, or one of
its kind.

NeuroBench (Yik et al. 2025, Nature Communications 16, 1545) counts while a model runs. Its
SynapticOperations are ours, without those of the readout, which counts the spikes of the last
layer; its ActivationSparsity is ours. Its inputs are the same event frames of 0 and 1, since other
values would be multiplied.
"""

from collections import OrderedDict
from itertools import pairwise
from pathlib import Path

import pytest
import snntorch.utils
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import spikesam
from spikesam.backends.network import Network

STEPS, SAMPLES = 20, 2
BETAS = 0.9999903192467171, 0.7291118090686332, 0.9364650136740154, 0.8348241794080301
THRESHOLDS = 3.511291184386264, 3.494437965584431, 1.5986853560315544, 0.3641469130041378


def gestures(channels: tuple[int, ...], thresholds: tuple[float, ...]) -> nn.Sequential:
    """The network of NeuroBench's example: three convolutions, each with a maximum of currents, and
    a dense layer.
    """
    parts: dict[str, nn.Module] = {}
    for at, (before, after) in enumerate(pairwise((2, *channels))):
        neurons = snntorch.Leaky(beta=BETAS[at], threshold=thresholds[at], init_hidden=True)
        synapses = nn.Conv2d(before, after, 5, padding="same")
        parts |= {
            f"conv{at + 1}": synapses,
            f"pool{at + 1}": nn.MaxPool2d(2),
            f"lif{at + 1}": neurons,
        }
    last = snntorch.Leaky(beta=BETAS[3], threshold=thresholds[3], init_hidden=True, output=True)
    parts |= {"flatten": nn.Flatten(), "linear1": nn.Linear(16 * channels[-1], 11), "lif4": last}
    return nn.Sequential(OrderedDict(parts))


def theirs(shared: Path) -> nn.Module:
    path = shared / "data" / "networks" / "dvs_gesture" / "nb_dvsg.pt"
    if not path.exists():
        pytest.skip(f"needs {path}, which is not here")
    model = gestures((16, 32, 64), THRESHOLDS)
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()


def of_its_kind() -> nn.Module:
    """With fewer channels, random weights, and some of 0, which are no synapses."""
    torch.manual_seed(0)
    model = gestures((4, 6, 8), (0.5, 0.3, 0.2, 0.1))
    for layer in (model.conv1, model.conv3, model.linear1):
        nn.init.sparse_(layer.weight.view(len(layer.weight), -1), 0.3)
        layer.weight.data *= 20
    return model.eval()


def moving_bars() -> torch.Tensor:
    """(T, B, 2, 32, 32) of 0 and 1: two bars that cross, ON before OFF, and noise."""
    events = (
        torch.rand(STEPS, SAMPLES, 2, 32, 32, generator=torch.Generator().manual_seed(0)) < 0.04
    )
    for step in range(STEPS):
        x = 4 + step // 2
        events[step, 0, 0, x + 2 : x + 10, x : x + 12] = events[
            step, 0, 1, x : x + 4, x : x + 12
        ] = True
        events[step, 1, 1, 8:20, 26 - x : 34 - x] = events[step, 1, 0, 8:20, 26 - x : 30 - x] = True
    return events.float()


def harness(model: nn.Module, events: torch.Tensor) -> tuple[float, dict[str, float]]:
    """What NeuroBench's own loop over data says."""
    pytest.importorskip("neurobench", reason="needs neurobench")
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
    from neurobench.models import SNNTorchModel

    data = DataLoader(
        TensorDataset(events.transpose(0, 1), torch.zeros(SAMPLES)), batch_size=SAMPLES
    )
    metrics = [[], [ActivationSparsity, SynapticOperations]]
    with torch.no_grad():
        found = Benchmark(SNNTorchModel(model), data, [], [], metrics).run(quiet=True)
    return found["ActivationSparsity"], found["SynapticOperations"]


def recorded(
    model: nn.Module, network: Network, events: torch.Tensor, folder: Path
) -> spikesam.Energy:
    """The energy of a recording of the model itself, with the network that was imported from it."""
    snntorch.utils.reset(model)
    with torch.no_grad(), spikesam.record(model, folder, operations=True) as recording:
        for frames in events:
            recording.tap("input", frames)
            model(frames)
        recording.finish()
    return spikesam.energy(folder, network)


@pytest.mark.parametrize("which", ["theirs", "of its kind"])
def test_neurobench_says_the_same(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model = theirs(request.getfixturevalue("shared")) if which == "theirs" else of_its_kind()
    events = moving_bars()
    network = spikesam.from_torch(model, events)
    found = recorded(model, network, events, tmp_path / "run")
    layers = found.layers.set_index("layer").drop("readout")
    sparsity, operations = harness(model, events)
    assert 0.5 < sparsity < 1
    assert found.sparsity == pytest.approx(sparsity, abs=1e-12)
    assert operations == {
        "Effective_MACs": 0,
        "Effective_ACs": layers["operations"].sum(),
        "Dense": layers["dense"].sum(),
    }
    assert layers["operations"].sum() < layers["dense"].sum()
    without_network = spikesam.energy(tmp_path / "run")
    modules = without_network.layers.set_index("layer")
    assert without_network.operations == operations["Effective_ACs"]
    assert modules["dense"].sum() == operations["Dense"]
    assert modules["macs"].sum() == 0
    imported = found.steps[found.steps["layer"] != "readout"].groupby("step")["operations"].sum()
    by_step = without_network.steps.groupby("step")["operations"].sum()
    assert by_step.tolist() == imported.tolist()
