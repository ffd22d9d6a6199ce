"""That currents in fixed point are exact, whatever is multiplied; every geometry is in
test_contract.py.
"""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spikesam.backends.network import CURRENT_LIMIT, Conv, Input
from spikesam.backends.network.step import current_of
from spikesam.backends.torch import synapses as torch_synapses
from spikesam.backends.torch.synapses import FixedSynapses, Workspace, exact_sums, multiplies_int8

int8 = pytest.param(
    "cpu",
    torch.int8,
    marks=pytest.mark.skipif(not multiplies_int8(), reason="int8 is exact with VNNI only"),
)
float32 = [
    ("cpu", torch.float32),
    *([("cuda", torch.float32)] if torch.cuda.is_available() else []),
]
KINDS = pytest.mark.parametrize(("device", "dtype"), [int8, *float32])


def currents(synapses: FixedSynapses, spikes: NDArray[np.bool_], device: str) -> NDArray[Any]:
    """(N·P, C) for spikes (N, C, H, W) bool."""
    given = torch.tensor(spikes, device=device).view(torch.int8).flatten(2).mT
    with torch.inference_mode(), exact_sums():
        return synapses(given).cpu().numpy()


def reference_currents(layer: Input, spikes: NDArray[np.bool_]) -> NDArray[Any]:
    return np.concatenate(
        [
            np.moveaxis(current_of(layer, one), 0, -1).reshape(-1, len(layer.weight))
            for one in spikes
        ]
    )


@KINDS
@pytest.mark.parametrize(("channels", "pool"), [(7331, 1), (1832, 2), (458, 4), (60, 11)])
def test_convolutions_are_exact_at_the_largest_current(
    device: str, dtype: torch.dtype, channels: int, pool: int
):
    """Weights of ±127 on inputs that all spike: the sums come as near to 2²³ as the construction
    check lets them.
    """
    random = np.random.default_rng(0)
    weight = random.choice((-127, 127), (2, channels, 3, 3)).astype(np.int8)
    weight[0] = 127
    layer = Input(Conv(weight, pool=pool, padding=1))
    assert layer.largest_current > 0.98 * CURRENT_LIMIT
    spikes = random.random((1, channels, 4 * pool, 5 * pool)) < 0.97
    spikes[:, :, : 3 * pool] = True
    found = currents(
        FixedSynapses(layer, spikes.shape[1:], Workspace(device), dtype), spikes, device
    )
    expected = reference_currents(layer, spikes)
    assert np.array_equal(found, expected)
    assert np.abs(expected).max() == layer.largest_current


@KINDS
def test_a_single_input_of_a_dense_layer(device: str, dtype: torch.dtype) -> None:
    """Of a side of 1 a view's strides are arbitrary: PyTorch issue 195066."""
    layer, spikes = Input(np.int8([[5], [-127], [127]])), np.ones((2, 1, 1, 1), np.bool_)
    found = currents(
        FixedSynapses(layer, spikes.shape[1:], Workspace(device), dtype), spikes, device
    )
    assert np.array_equal(found, reference_currents(layer, spikes))


def test_what_is_multiplied_is_chosen_by_device_and_pooling(monkeypatch: pytest.MonkeyPatch):
    """A pooling of 12 adds up to 144 spikes, which int8 cannot hold."""

    def chosen(pool: int) -> torch.dtype:
        layer = Input(Conv(np.ones((1, 1, 1, 1), np.int8), pool=pool))
        return FixedSynapses(layer, (1, pool, pool), Workspace("cpu")).matrix.dtype

    monkeypatch.setattr(torch_synapses, "multiplies_int8", lambda: True)
    assert (chosen(1), chosen(11), chosen(12)) == (torch.int8, torch.int8, torch.float32)
    monkeypatch.setattr(torch_synapses, "multiplies_int8", lambda: False)
    assert chosen(1) == torch.float32


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
