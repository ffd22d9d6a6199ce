"""That currents in fixed point are exact, whatever is multiplied, for every geometry a layer may have."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.backends.network import CURRENT_LIMIT, Input
from spikesam.backends.network.step import current_of
from spikesam.backends.torch import synapses as torch_synapses
from spikesam.backends.torch.synapses import FixedSynapses, FloatSynapses, Workspace, exact_sums, multiplies_int8

int8 = pytest.param(
    "cpu", torch.int8, marks=pytest.mark.skipif(not multiplies_int8(), reason="int8 is exact with VNNI only")
)
float32 = [("cpu", torch.float32), *([("cuda", torch.float32)] if torch.cuda.is_available() else [])]
KINDS = pytest.mark.parametrize(("device", "dtype"), [int8, *float32])


def fixed(weight: NDArray[np.int8], pool: int = 1, stride: int = 1, padding: int = 0) -> Input:
    return Input(weight, pool=pool, stride=stride, padding=padding)


def currents(synapses: FixedSynapses | FloatSynapses, spikes: NDArray[np.bool_], device: str) -> NDArray[Any]:
    """(N·P, C) for spikes (N, C, H, W) bool."""
    given = torch.tensor(spikes, device=device).view(torch.int8).flatten(2).mT
    with torch.inference_mode(), exact_sums():
        return synapses(given).cpu().numpy()


def reference_currents(layer: Input, spikes: NDArray[np.bool_]) -> NDArray[Any]:
    return np.concatenate([np.moveaxis(current_of(layer, one), 0, -1).reshape(-1, len(layer.weight)) for one in spikes])


@KINDS
@pytest.mark.parametrize(("channels", "pool"), [(7331, 1), (1832, 2), (458, 4), (60, 11)])
def test_convolutions_are_exact_at_the_largest_current(device: str, dtype: torch.dtype, channels: int, pool: int):
    """Weights of ±127 on inputs that all spike: the sums come as near to 2²³ as the construction check lets them."""
    random = np.random.default_rng(0)
    weight = random.choice((-127, 127), (2, channels, 3, 3)).astype(np.int8)
    weight[0] = 127
    layer = fixed(weight, pool, padding=1)
    assert layer.largest_current > 0.98 * CURRENT_LIMIT
    spikes = random.random((1, channels, 4 * pool, 5 * pool)) < 0.97
    spikes[:, :, : 3 * pool] = True
    found = currents(FixedSynapses(layer, spikes.shape[1:], Workspace(device), dtype), spikes, device)
    expected = reference_currents(layer, spikes)
    assert np.array_equal(found, expected)
    assert np.abs(expected).max() == layer.largest_current


@st.composite
def layers(draw: st.DrawFn) -> tuple[Input, NDArray[np.bool_]]:
    """A layer of weights ±127 and other extremes, and spikes of any density for it."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    sides, pool, dense = st.integers(1, 9), draw(st.integers(1, 4)), draw(st.booleans())
    channels, outputs, height, width = draw(sides), draw(sides), draw(sides), draw(sides)
    if dense:
        shape, stride, padding = (outputs, channels * height * width), 1, 0
    else:
        stride, padding = draw(st.integers(1, 3)), draw(st.integers(0, 2))
        kernel = draw(st.integers(1, 4)), draw(st.integers(1, 4))
        assume(kernel[0] <= height + 2 * padding and kernel[1] <= width + 2 * padding)
        shape = (outputs, channels, *kernel)
    weight = random.choice(draw(st.sampled_from([(-127, 127), (127,), (-127, 0, 1, 126)])), shape).astype(np.int8)
    spikes = random.random((draw(st.integers(1, 3)), channels, pool * height, pool * width)) < draw(st.floats(0, 1))
    return fixed(weight, pool, stride, padding), spikes


@KINDS
@given(layers())
@example((fixed(np.array([[5], [-127], [127]], np.int8)), np.ones((2, 1, 1, 1), np.bool_)))  # PyTorch issue 195066
def test_any_geometry_and_density(device: str, dtype: torch.dtype, case: tuple[Input, NDArray[np.bool_]]):
    layer, spikes = case
    workspace = Workspace(device)
    synapses = FixedSynapses(layer, spikes.shape[1:], workspace, dtype)
    assert np.array_equal(currents(synapses, spikes, device), reference_currents(layer, spikes))


def test_what_is_multiplied_is_chosen_by_device_and_pooling(monkeypatch: pytest.MonkeyPatch):
    """A pooling of 12 adds up to 144 spikes, which int8 cannot hold."""

    def chosen(pool: int) -> torch.dtype:
        layer = fixed(np.ones((1, 1, 1, 1), np.int8), pool)
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
