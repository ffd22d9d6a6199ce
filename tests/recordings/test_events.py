"""Rasters from lists of spikes: the same file as from an array of them, and everything that does not fit refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.arrays import SpikeEvents, write_raster
from spikesam.recordings.raster.reader import RasterReader

SHAPE = (20, 6, 3, 4, 5)  # 60 neurons: 7.5 bytes a step
CONV = np.random.default_rng(0).random(SHAPE) < 0.2


def listed(spikes: np.ndarray, dtype: type = np.int64) -> dict[str, np.ndarray]:
    """Every spike of an array, in random order."""
    sample, step, neuron = np.nonzero(spikes.reshape(*spikes.shape[:2], -1))
    order = np.random.default_rng(1).permutation(len(sample))
    return {"sample": sample[order].astype(dtype), "step": step[order].astype(dtype), "neuron": neuron[order]}


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_a_list_of_spikes_gives_the_raster_of_their_array(tmp_path: Path, dtype: type) -> None:
    dense = CONV[..., 0, 0]
    layers = {"input": CONV[:, :, :2], "conv1": SpikeEvents(**listed(CONV, dtype), shape=SHAPE)}
    found = write_raster(tmp_path / "events.h5", layers | {"fc1": SpikeEvents(**listed(dense), shape=dense.shape)})
    expected = write_raster(tmp_path / "arrays.h5", {"input": CONV[:, :, :2], "conv1": CONV, "fc1": dense})
    with RasterReader(found) as events, RasterReader(expected) as arrays:
        events.verify()
        assert events.raster_digest == arrays.raster_digest
        assert events.header.layers == arrays.header.layers
    assert sorted(file.name for file in tmp_path.iterdir()) == ["arrays.h5", "events.h5"]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 10)), unique=True))
def test_packed_events_are_packed_bits(spikes: list[tuple[int, int, int]]) -> None:
    events = SpikeEvents(*np.array(spikes, int).reshape(-1, 3).T, shape=(3, 4, 11))
    dense = np.zeros((3, 4, 11), bool)
    for place in spikes:
        dense[place] = True
    for rows in (slice(0, 3), slice(1, 2)):
        assert np.array_equal(events.packed(rows, str, fired=False), np.packbits(dense[rows], axis=-1))


def test_the_neuron_is_counted_over_channel_row_and_column(tmp_path: Path) -> None:
    neuron = np.ravel_multi_index(([2], [3], [4]), SHAPE[2:])
    path = write_raster(tmp_path / "c.h5", {"a": SpikeEvents([0], [5], torch.from_numpy(neuron), SHAPE)})
    with RasterReader(path) as raster:
        assert np.argwhere(raster["a"][0]).tolist() == [[5, 2, 3, 4]]
        assert raster["a"].counts.sum() == 1


def test_a_layer_may_be_silent(tmp_path: Path) -> None:
    with RasterReader(write_raster(tmp_path / "c.h5", {"a": SpikeEvents([], [], [], (1, 2, 3))})) as raster:
        assert raster["a"].counts.tolist() == [[0, 0]]


def test_a_neuron_that_fires_twice_in_a_step_is_refused_or_merged(tmp_path: Path) -> None:
    events = SpikeEvents([0, 18, 18, 18], [1, 3, 3, 3], [0, 9, 9, 8], (20, 6, 10))
    message = (
        "layer 'a', sample 18: neuron 9 fires more than once in step 3, expected at most once; pass counts='fired'"
    )
    with pytest.raises(InputError, match=message):
        write_raster(tmp_path / "c.h5", {"a": events})
    assert not any(tmp_path.iterdir())
    with RasterReader(write_raster(tmp_path / "c.h5", {"a": events}, counts="fired")) as raster:
        assert np.argwhere(raster["a"][18][..., 0, 0]).tolist() == [[3, 8], [3, 9]]


def test_counts_in_arrays_can_be_recorded_as_fired(tmp_path: Path) -> None:
    counts = CONV * np.random.default_rng(2).integers(1, 8, SHAPE)
    with pytest.raises(InputError, match=r"expected spikes of 0 and 1 only; pass counts='fired' to record that"):
        write_raster(tmp_path / "c.h5", {"a": counts})
    with RasterReader(write_raster(tmp_path / "c.h5", {"a": counts}, counts="fired")) as raster:
        assert np.array_equal(raster["a"][:], CONV.swapaxes(0, 1))
    with pytest.raises(InputError, match=r"got the value -1.*; give -1, 0 and 1 as two planes of channels"):
        write_raster(tmp_path / "d.h5", {"a": np.array([[[0.0], [-1.0]]])})
    for wrong in (-1, np.nan):
        with pytest.raises(InputError, match=f"got the value {wrong}.*, expected counts of 0 or more"):
            write_raster(tmp_path / "d.h5", {"a": np.full((1, 1, 1), wrong, float)}, counts="fired")
    with pytest.raises(InputError, match="write_raster: counts: got 'all', expected None or 'fired'"):
        write_raster(tmp_path / "d.h5", {"a": counts}, counts="all")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": [0.0, 1.0]}, r"step: got shape \(2,\) of float64, expected \(E,\) whole numbers; for times, give"),
        ({"neuron": [True, False]}, r"neuron: got shape \(2,\) of bool, expected \(E,\) whole numbers"),
        ({"sample": [[0, 1]]}, r"sample: got shape \(1, 2\) of int64"),
        ({"sample": [0, 3]}, "sample: got 3 for spike 1, expected 0 to 2"),
        ({"step": [-1, 3]}, "step: got -1 for spike 0, expected 0 to 3"),
        ({"neuron": [0, 11]}, "neuron: got 11 for spike 1, expected 0 to 10"),
        ({"neuron": [0]}, "got 2 of sample, 2 of step, 1 of neuron, expected one of each for every spike"),
        ({"shape": (3, 4)}, r"shape: got \(3, 4\), expected \(N, T, C, H, W\), or \(N, T, K\), above 0"),
        ({"shape": (3, 0, 11)}, r"shape: got \(3, 0, 11\)"),
        ({"shape": (3, 4.0, 11)}, r"shape: got \(3, 4.0, 11\)"),
    ],
)
def test_what_does_not_fit_is_one_line(change: dict, message: str) -> None:
    given = {"sample": [0, 1], "step": [0, 1], "neuron": [0, 1], "shape": (3, 4, 11)} | change
    with pytest.raises(InputError, match=f"^SpikeEvents: {message}"):
        SpikeEvents(**given)


def test_layers_must_agree_whatever_they_are_given_as(tmp_path: Path) -> None:
    events = SpikeEvents([0], [0], [0], (19, 6, 10))
    with pytest.raises(InputError, match="layer 'b': got 19 samples and 6 steps, expected 20 and 6, as layer 'a' has"):
        write_raster(tmp_path / "c.h5", {"a": CONV, "b": events})
