"""Bits packed on any device, from maps however they lie in memory, are those of NumPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikesam.backends.torch.backend import pack_bits
from spikesam.pipeline.record.batch import LayerBits, pack_maps
from spikesam.pipeline.record.layouts import one_step, time_first
from spikesam.recordings.errors import InputError

SHAPES = st.one_of(
    st.tuples(st.integers(1, 3), st.integers(1, 40)),
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5)),
)


@given(SHAPES, st.integers(0, 99))
def test_packed_as_numpy_does(shape: tuple[int, ...], seed: int) -> None:
    bits = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.4
    expected = np.packbits(bits.flatten(1).numpy(), axis=-1)
    assert np.array_equal(pack_maps(bits).numpy(), expected)
    if bits.ndim == 4:
        assert np.array_equal(pack_maps(bits.contiguous(memory_format=torch.channels_last)).numpy(), expected)
    on_a_gpu = pack_bits(bits.flatten(1)[None, :, :, None].view(torch.int8))[:, 0]  # what other devices do
    assert np.array_equal(on_a_gpu.numpy(), expected)


@pytest.mark.parametrize("steps", [1, 9])
def test_large_maps_are_packed_as_small_ones(steps: int) -> None:
    spikes = (torch.rand(steps, 2, 3, 150, 300) < 0.3).float()  # 270,000 a step
    maps = spikes.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (steps, 2))
    for laid_out in (spikes, maps):
        layer = LayerBits("a", counts=None)
        layer.add(laid_out, time_first)
        layer.add(laid_out[0], one_step)
        assert (layer.steps, layer.samples, layer.shape) == (steps + 1, 2, (3, 150, 300))
        expected = np.packbits(spikes.bool().flatten(2).numpy(), axis=-1).swapaxes(0, 1)
        assert np.array_equal(layer.packed()[:, :-1], expected)
        assert np.array_equal(layer.packed()[:, -1], expected[:, 0])


@pytest.mark.parametrize("wrong", [0.5, 2, -1, math.nan, math.inf, 1 + 2**-23])
@pytest.mark.parametrize("last", [False, True])
def test_a_value_that_is_no_bit_is_found_wherever_it_is(wrong: float, last: bool) -> None:
    spikes = (torch.rand(6, 2, 3, 4, 5) < 0.3).float()
    spikes[(-1,) * 5 if last else (0,) * 5] = wrong
    layer = LayerBits("a", counts=None)
    layer.add(spikes, time_first)
    advised = "ternary" if wrong == -1 else "fired"
    with pytest.raises(InputError, match=f"that are neither 0 nor 1, expected spikes; pass counts='{advised}'"):
        layer.packed()
    layer = LayerBits("a", counts="fired")
    layer.add(spikes, time_first)
    if wrong > 0:
        assert np.array_equal(layer.packed()[1, 5], np.packbits(spikes[5, 1].numpy() > 0))
    else:
        with pytest.raises(InputError, match=r"got values in (-1|nan) … (1|nan), expected counts of 0 or more"):
            layer.packed()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_packed_on_a_gpu_as_numpy_does() -> None:
    bits = torch.rand(3, 5, 7, 9, device="cuda") < 0.4
    packed = pack_maps(bits)
    assert packed.is_cuda
    assert packed.shape == (3, math.ceil(315 / 8))
    assert np.array_equal(packed.cpu().numpy(), np.packbits(bits.flatten(1).cpu().numpy(), axis=-1))
