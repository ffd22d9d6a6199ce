"""A network of every library, as its users write it or as others trained it, fires its bits on
every backend.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesam
from tests.pipeline.imports.models import MODELS, Written, assert_same_bits, make


@pytest.mark.parametrize("name", MODELS)
def test_every_bit_is_the_same_on_event_and_torch(name: str) -> None:
    model, example = make(name)
    network = spikesam.from_torch(model, example, timesteps=8 if example.ndim == 4 else None)
    rates = assert_same_bits(model, network, example).layers["rate"]
    assert rates.between(0.005, 0.98).all(), "a layer that never or always fires tests nothing"


def test_snntorchs_alpha_without_a_reset_by_hand() -> None:
    """Decays of 1/2 and 0: a spike at step 0 makes membranes of 0, 1/2, 1/4, 1/8; θ = 0.3."""
    snn = pytest.importorskip("snntorch")

    def forward(m: Any, x: Tensor) -> Tensor:
        state, fired = m.alpha.init_alpha(), []
        for step in x:
            spikes, *state = m.alpha(m.linear(step), *state)
            fired.append(m.lif(m.last(spikes)))
        return torch.stack(fired)

    alpha = snn.Alpha(alpha=0.5, beta=0.0, threshold=0.3, reset_mechanism="none")
    neurons = {"alpha": alpha, "lif": snn.Leaky(0.0, threshold=0.5, init_hidden=True)}
    linear = {name: nn.Linear(1, 1, bias=False) for name in ("linear", "last")}
    model = Written(forward, **neurons, **linear)
    for module in linear.values():
        module.weight.data.fill_(1.0)
    example = torch.eye(4)[:1].T[:, :, None]
    network = spikesam.from_torch(model.eval(), example)
    assert network.layers[0].spiking_neuron.synaptic_leak == 0.5
    compared = assert_same_bits(model, network, example)
    assert compared.layers["rate"].tolist() == [0.25, 0.25]


def weights_of(path: Path) -> Any:
    if not path.exists():
        pytest.skip(f"needs {path}, which is not here")
    return torch.load(path, map_location="cpu", weights_only=True)


def movements(shared: Path) -> nn.Module:
    """Six real numbers a step, as a row of length 1 with four zeros around; states in variables."""
    snn = pytest.importorskip("snntorch")

    def forward(m: Any, x: Tensor) -> Tensor:
        membranes = [m.leaky1.init_leaky(), m.leaky2.init_leaky(), m.leaky3.init_leaky()]
        answer = []
        for step in x:
            spikes, membranes[0] = m.leaky1(m.pool(m.conv1(step)), membranes[0])
            spikes, membranes[1] = m.leaky2(m.pool(m.conv2(spikes)), membranes[1])
            spikes, membranes[2] = m.leaky3(m.linear(spikes.flatten(1)), membranes[2])
            answer.append(spikes)
        return torch.stack(answer)

    rows = {
        "conv1": nn.Conv1d(6, 200, 2, padding=4),
        "conv2": nn.Conv1d(200, 256, 1),
        "pool": nn.MaxPool1d(2),
    }
    constants = {"leaky1": (0.4, 0.002), "leaky2": (0.3, 0.001), "leaky3": (0.5, 0.001)}
    leaky = {name: snn.Leaky(beta, threshold) for name, (beta, threshold) in constants.items()}
    model = Written(forward, **rows, **leaky, linear=nn.Linear(512, 7))
    weights = weights_of(shared / "data/networks/wisdm/WISDM_snnTorch.ckpt")["state_dict"]
    model.load_state_dict({name.removeprefix("model."): value for name, value in weights.items()})
    return model.eval()


@pytest.mark.long
def test_rows_of_real_numbers_at_every_step(shared: Path) -> None:
    torch.manual_seed(0)
    model, given = movements(shared), 3 * torch.randn(40, 4, 6, 1)
    network = spikesam.from_torch(model, given)  # proves itself
    assert network.shapes == ((6, 1, 1), (200, 1, 4), (256, 1, 2), (7, 1, 1))
    assert (
        network.layers[0].inputs[0].synapse.padding,
        network.layers[0].inputs[0].synapse.current_pool,
    ) == (
        (0, 4),
        (1, 2),
    )
    assert (network.timesteps, network.encoder) == (40 + 3, "changing-current")
    assert_same_bits(model, network, given, *(["lava"] if find_spec("lava") else []))
    # A weight of the second layer is up to 1485 times the threshold: in fixed point that is 2048,
    # not 4096.
    assert [layer.neuron.threshold for layer in spikesam.quantise(network).layers] == [
        4096,
        2048,
        4096,
    ]


def gestures(shared: Path, samples: int) -> nn.Module:
    """Neurons with sinabs' default lowest membrane."""
    weights = weights_of(shared / "data/networks/sinabs/dvs_gesture_params.pt")
    layers, activation = (
        pytest.importorskip("sinabs.layers"),
        pytest.importorskip("sinabs.activation"),
    )

    def neurons() -> nn.Module:
        return layers.IAFSqueeze(
            batch_size=samples, spike_fn=activation.SingleSpike, min_v_mem=-1.0
        )

    def block(before: int, channels: int, **kernel: int) -> list[nn.Module]:
        return [
            nn.Conv2d(before, channels, bias=False, **({"kernel_size": 3, "padding": 1} | kernel)),
            neurons(),
        ]

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
    assert [f"{at}.weight" for at, each in enumerate(model) if hasattr(each, "weight")] == list(
        weights
    )
    model.load_state_dict(weights, strict=False)
    return model.eval()


def test_membranes_that_are_held_at_their_lowest(shared: Path) -> None:
    events = (
        torch.rand(10, 2, 2, 128, 128, generator=torch.Generator().manual_seed(0)) < 0.5
    ).float()
    network = spikesam.from_torch(gestures(shared, 2), events)  # proves itself, to the last bit
    assert [layer.spiking_neuron.min_v_mem for layer in network.layers] == [-1.0] * 9
    assert network.timesteps == 10 + 9 and network.is_chain
    spikes = np.concatenate([events.numpy().astype(bool), np.zeros((9, *events.shape[1:]), bool)])
    digests = {
        spikesam.simulate(network, spikes, backend=name).raster_digest
        for name in ("event", "torch")
    }
    assert len(digests) == 1  # in fixed point
