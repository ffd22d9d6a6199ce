"""sinabs' own network for gestures: neurons with its default lowest membrane, and weights that others trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import spikesam

STEPS, SAMPLES = 10, 2


@pytest.fixture(scope="module")
def model(shared: Path) -> nn.Module:
    path = shared / "data" / "networks" / "sinabs" / "dvs_gesture_params.pt"
    if not path.exists():
        pytest.skip(f"needs {path}, which is not here")
    layers, activation = pytest.importorskip("sinabs.layers"), pytest.importorskip("sinabs.activation")

    def neurons() -> nn.Module:
        return layers.IAFSqueeze(batch_size=SAMPLES, spike_fn=activation.SingleSpike, min_v_mem=-1.0)

    def block(before: int, channels: int, **kernel: int) -> list[nn.Module]:
        return [nn.Conv2d(before, channels, bias=False, **({"kernel_size": 3, "padding": 1} | kernel)), neurons()]

    pool = nn.AvgPool2d(2)
    model = nn.Sequential(
        *block(2, 16, kernel_size=2, stride=2, padding=0),
        *block(16, 16),
        *[pool, *block(16, 32)],
        *[pool, *block(32, 32)],
        *[pool, *block(32, 64)],
        *[pool, *block(64, 64)],
        *[pool, nn.Dropout(0.5), *block(64, 256, kernel_size=2, padding=0)],
        *[nn.Flatten(), nn.Dropout(0.5), nn.Linear(256, 128, bias=False), neurons()],
        *[nn.Linear(128, 11, bias=False), neurons()],
    )
    weights = torch.load(path, map_location="cpu", weights_only=True)
    assert [f"{at}.weight" for at, each in enumerate(model) if hasattr(each, "weight")] == list(weights)
    model.load_state_dict(weights, strict=False)
    return model.eval()


def test_every_bit_is_the_models(model: nn.Module) -> None:
    events = (torch.rand(STEPS, SAMPLES, 2, 128, 128, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    network = spikesam.from_torch(model, events)  # proves itself, to the last bit
    neurons = [layer.spiking_neuron for layer in network.layers]
    assert [neuron.min_v_mem for neuron in neurons] == [-1.0] * 9
    assert network.timesteps == STEPS + 9 and network.is_chain
    spikes = np.concatenate([events.numpy().astype(bool), np.zeros((9, *events.shape[1:]), bool)])
    digests = {spikesam.simulate(network, spikes, backend=name).raster_digest for name in ("event", "torch")}
    assert len(digests) == 1  # in fixed point
