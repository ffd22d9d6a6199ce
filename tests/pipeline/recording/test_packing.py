"""Bits packed on any device, from maps however they lie in memory, are those of NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backends.torch.backend import pack_bits
from pipeline.recording.packing import pack_step

SHAPES = st.one_of(
    st.tuples(st.integers(1, 3), st.integers(1, 40)),
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5)),
)


@given(SHAPES, st.integers(0, 99))
def test_packed_as_numpy_does(shape: tuple[int, ...], seed: int) -> None:
    bits = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.4
    expected = np.packbits(bits.flatten(1).numpy(), axis=-1)
    assert np.array_equal(pack_step(bits).numpy(), expected)
    if bits.ndim == 4:
        assert np.array_equal(pack_step(bits.contiguous(memory_format=torch.channels_last)).numpy(), expected)
    on_a_gpu = pack_bits(bits.flatten(1)[None, :, :, None].view(torch.int8))[:, 0]  # what other devices do
    assert np.array_equal(on_a_gpu.numpy(), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_packed_on_a_gpu_as_numpy_does() -> None:
    bits = torch.rand(3, 5, 7, 9, device="cuda") < 0.4
    packed = pack_step(bits)
    assert packed.is_cuda
    assert packed.shape == (3, math.ceil(315 / 8))
    assert np.array_equal(packed.cpu().numpy(), np.packbits(bits.flatten(1).cpu().numpy(), axis=-1))
