"""Maximum pooling, worked by hand: rows and columns differ in side, stride and padding."""

import numpy as np

from spikesam.backends.event.kernels import pooling
from spikesam.backends.event.kernels.compiled import entry
from spikesam.backends.network import Windows

pool_currents, pool_spikes = entry(pooling.pool_currents), entry(pooling.pool_spikes)
CURRENTS = np.array([[9, 2, 3, 4, 5], [0, 1, 0, -1, 0], [-1, 0, 0, 8, 7]], np.int32)


def test_the_largest_currents_of_windows_and_their_sum() -> None:
    """Windows of rows 0-1 and 1-2, and of columns 0-1, 1-3 and 3-4; everywhere -2 in a second
    channel.
    """
    currents = np.stack([CURRENTS, np.full_like(CURRENTS, -2)], axis=-1)
    windows = Windows((2, 3), (1, 2), (0, 1))
    pooled, total = np.full((2, 3, 4), 77, np.int32), np.full((1, 1, 2), 77, np.int32)
    pool_currents(currents, windows, pooled)
    assert pooled[..., 0].tolist() == [[9, 4, 5], [1, 8, 8]]
    assert (pooled[..., 1] == -2).all()
    assert (pooled[..., 2:] == pooled[..., :2]).all()  # channels that are repeated
    pool_currents(currents, windows, total)
    assert total.ravel().tolist() == [9 + 4 + 5 + 1 + 8 + 8, 6 * -2]


def test_windows_of_all_rows_are_summed_over_columns() -> None:
    total = np.zeros((1, 1, 1), np.int32)
    pool_currents(CURRENTS[..., None], Windows((3, 1), (1, 1), (0, 0)), total)
    assert total.item() == 9 + 2 + 3 + 8 + 7


def test_a_window_of_spikes_fires_where_one_of_them_does() -> None:
    """Windows of one row and two columns, whatever was written before."""
    spikes = np.array([[0, 1, 0, 0], [1, 0, 1, 1]], np.bool_)[..., None]
    pooled = np.ones((2, 2, 1), np.bool_)
    pool_spikes(spikes, (1, 2), pooled)
    assert pooled[..., 0].tolist() == [[True, False], [True, True]]
