"""That the torch backend is exact where it says so; what all backends share is in test_contract.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backends.available import make_backend
from backends.base import BackendError
from backends.network import CURRENT_LIMIT, LIF, FixedLIF, Layer, Network, Readout
from backends.torch_backend import TorchBackend, exact_sums, synapses
from tests.reference import layer_current

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def fixed_layer(weight: np.ndarray, pool: int) -> Layer:
    channels = len(weight)
    one = np.ones((1, channels), np.int32)
    return Layer("layer", weight, FixedLIF(41, 0, one, 0 * one), pool=pool, padding=1 if weight.ndim == 4 else 0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("channels", "pool"), [(7331, 1), (1832, 2), (458, 4)])
def test_convolutions_are_exact_at_the_largest_current_allowed(device, channels, pool):
    """Weights of ±127 on inputs that all spike: the sums come as near to 2²³ as the construction check lets them."""
    random = np.random.default_rng(0)
    weight = np.where(random.random((2, channels, 3, 3)) < 0.5, -127, 127).astype(np.int8)
    weight[0] = 127
    layer = fixed_layer(weight, pool)
    assert layer.largest_current > 0.99 * CURRENT_LIMIT
    spikes = random.random((1, channels, 4 * pool, 5 * pool)) < 0.97
    spikes[:, :, : 3 * pool] = True
    with torch.inference_mode(), exact_sums():
        found = synapses(
            layer,
            torch.tensor(weight, dtype=torch.float32, device=device),
            torch.tensor(spikes, dtype=torch.float32).to(device),
        )
    expected = layer_current(layer, spikes[0])
    assert np.array_equal(found[0].cpu().numpy().astype(np.int64), expected)
    assert np.abs(expected).max() == layer.largest_current


@pytest.mark.parametrize("device", DEVICES)
def test_dense_layers_are_exact_at_the_largest_current_allowed(device):
    random = np.random.default_rng(1)
    inputs = CURRENT_LIMIT // 127
    weight = np.where(random.random((3, inputs)) < 0.5, -127, 127).astype(np.int8)
    weight[0] = 127
    layer = fixed_layer(weight, 1)
    spikes = np.ones((1, inputs, 1, 1), bool)
    with torch.inference_mode(), exact_sums():
        found = synapses(
            layer,
            torch.tensor(weight, dtype=torch.float32, device=device),
            torch.ones((1, inputs, 1, 1), device=device),
        )
    expected = layer_current(layer, spikes[0]).reshape(1, -1)
    assert np.array_equal(found.cpu().numpy().astype(np.int64), expected)


def test_steps_in_chunks_give_the_same_spikes(monkeypatch):
    random = np.random.default_rng(2)
    network = Network(
        (2, 6, 8),
        9,
        (Layer("conv1", random.normal(size=(3, 2, 3, 3)), LIF(0.9), padding=1),),
        Readout(random.normal(size=(4, 3 * 6 * 8))),
    )
    inputs = random.random((9, 3, 2, 6, 8)) < 0.4
    whole, chunked = [], []
    for found, limit in ((whole, 256 << 20), (chunked, 1)):
        monkeypatch.setattr("backends.torch_backend.CHUNK_BYTES", limit)
        found.extend(TorchBackend("cpu").run(network, [inputs], 3))
    assert whole[0].spikes["001_conv1"].any()
    assert np.array_equal(whole[0].spikes["001_conv1"], chunked[0].spikes["001_conv1"])
    assert np.array_equal(whole[0].readout, chunked[0].readout)


def test_the_callers_torch_settings_come_back():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.enabled
    torch.set_float32_matmul_precision("medium")
    try:
        with exact_sums():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.enabled
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before[0])
    assert torch.backends.cudnn.enabled == before[1]


@pytest.mark.parametrize(
    ("name", "device", "message"),
    [
        ("torhc", "cpu", "backend is 'torhc', expected one of auto, event, torch, lava"),
        ("torch", "gpu", "device 'gpu': .*; expected auto, cpu, cuda or cuda:N"),
        ("lava", "cuda", "lava: device is 'cuda', expected auto or cpu"),
    ],
)
def test_backends_that_are_not_there(name, device, message):
    with pytest.raises(BackendError, match=message):
        make_backend(name, device)
