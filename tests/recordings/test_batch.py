"""Packed spikes: they unpack to what was packed, and refuse bits that are of other maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.batch import PackedSpikes


@given(arrays(np.bool_, array_shapes(min_dims=5, max_dims=5, max_side=5)))
def test_unpacked_is_what_was_packed(spikes):
    packed = PackedSpikes.of(spikes)
    assert (packed.timesteps, len(packed)) == spikes.shape[:2]
    assert np.array_equal(packed.unpacked(), spikes)


def test_bits_by_hand():
    # Two samples of one step, nine neurons: the first and the last fire, then all.
    spikes = np.ones((1, 2, 1, 3, 3), np.bool_)
    spikes[0, 0] = np.reshape([1, 0, 0, 0, 0, 0, 0, 0, 1], (3, 3))
    assert PackedSpikes.of(spikes).bits.tolist() == [[[0b10000000, 0b10000000]], [[0b11111111, 0b10000000]]]


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (
            np.zeros((1, 4, 3), np.uint8),
            r"got \(1, 4, 3\) uint8, expected \(B, T, 2\) uint8 for maps of .* \(1, 3, 3\)",
        ),
        (np.zeros((4, 2), np.uint8), r"got \(4, 2\) uint8, expected \(B, T, 2\)"),
        (np.zeros((1, 4, 2), np.int8), r"got \(1, 4, 2\) int8, expected \(B, T, 2\) uint8"),
        (np.full((1, 4, 2), 1, np.uint8), "got pad bits that are set, expected zeros"),
    ],
)
def test_other_bits_are_refused(bits, message):
    with pytest.raises(InputError, match=message):
        PackedSpikes(bits, (1, 3, 3))
