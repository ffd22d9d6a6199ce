"""A trained network of rows whose input is real numbers at every step: NeuroBench's for movements of people."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import spikesam
from tests.pipeline.imports.models import assert_same_bits

snn = pytest.importorskip("snntorch")

STEPS, SAMPLES = 40, 4


class Wisdm(nn.Module):
    """Six real numbers a step, as a row of length 1 with four zeros around; states in variables."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.leaky1 = nn.Conv1d(6, 200, 2, padding=4), snn.Leaky(beta=0.4, threshold=0.002)
        self.conv2, self.leaky2 = nn.Conv1d(200, 256, 1), snn.Leaky(beta=0.3, threshold=0.001)
        self.linear, self.leaky3 = nn.Linear(512, 7), snn.Leaky(beta=0.5, threshold=0.001)
        self.pool = nn.MaxPool1d(2)

    def forward(self, x: Tensor) -> Tensor:
        membranes = [self.leaky1.init_leaky(), self.leaky2.init_leaky(), self.leaky3.init_leaky()]
        answer = []
        for step in x:
            spikes, membranes[0] = self.leaky1(self.pool(self.conv1(step)), membranes[0])
            spikes, membranes[1] = self.leaky2(self.pool(self.conv2(spikes)), membranes[1])
            spikes, membranes[2] = self.leaky3(self.linear(spikes.flatten(1)), membranes[2])
            answer.append(spikes)
        return torch.stack(answer)


@pytest.fixture(scope="module")
def model(shared: Path) -> nn.Module:
    path = shared / "data" / "networks" / "wisdm" / "WISDM_snnTorch.ckpt"
    if not path.exists():
        pytest.skip(f"needs {path}, which is not here")
    weights = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    model = Wisdm()
    model.load_state_dict({name.removeprefix("model."): value for name, value in weights.items()})
    return model.eval()


def test_every_bit_is_the_models_on_every_backend(model: nn.Module) -> None:
    torch.manual_seed(0)
    given = 3 * torch.randn(STEPS, SAMPLES, 6, 1)
    network = spikesam.from_torch(model, given)  # proves itself
    assert network.shapes == ((6, 1, 1), (200, 1, 4), (256, 1, 2), (7, 1, 1))
    assert (network.layers[0].inputs[0].padding, network.layers[0].inputs[0].current_pool) == ((0, 4), (1, 2))
    assert (network.timesteps, network.encoder) == (STEPS + 3, "changing-current")
    assert_same_bits(model, network, given, *(["lava"] if find_spec("lava") else []))
    # A weight of the second layer is up to 1485 times the threshold: in fixed point that is 2048, not 4096.
    assert [layer.neuron.threshold for layer in spikesam.quantise(network).layers] == [4096, 2048, 4096]
