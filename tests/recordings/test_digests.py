"""Counting spikes in packed bits."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from spikesam.recordings.digests import pad_bits_clear, spike_counts


def test_every_byte_has_as_many_spikes_as_bits() -> None:
    every = np.arange(256, dtype=np.uint8)
    assert spike_counts(every[:, None]).tolist() == [bin(byte).count("1") for byte in range(256)]
    assert spike_counts(np.full((2, 3, 1000), 255, np.uint8)).tolist() == [[8000] * 3] * 2


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=3, max_side=40)))
def test_spikes_are_counted_along_the_last_axis(packed: NDArray[np.uint8]) -> None:
    counts = spike_counts(packed)
    assert counts.dtype == np.uint32
    np.testing.assert_array_equal(counts, np.unpackbits(packed, axis=-1).sum(axis=-1))


@given(st.integers(1, 40), st.integers(0, 7))
def test_a_pad_bit_is_noticed_in_any_step(neurons: int, bit: int) -> None:
    """Bits from the lowest on, as many as a last byte has to spare, belong to no neuron."""
    packed = np.zeros((3, -(-neurons // 8)), np.uint8)
    packed[1, -1] = 1 << bit
    assert pad_bits_clear(packed, neurons) == (bit >= -neurons % 8)
