"""Two rasters beside each other: which bits differ, and how many, counted by hand and by NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import spikesam
from spikesam.pipeline.comparison.pair import Bit, Differences, line_up
from spikesam.recordings.errors import InputError


def raster(path: Path, **options: Any) -> spikesam.RasterReader:
    spikes = {name: options.pop(name) for name in [*options] if isinstance(options[name], np.ndarray)}
    return spikesam.open_raster(spikesam.write_raster(path, spikes, overwrite=True, **options))


def zeros(steps: int = 4, samples: int = 2) -> Any:
    return np.zeros((samples, steps, 1, 2, 2), np.bool_)


def test_bits_by_hand(tmp_path: Path) -> None:
    """A has a spike at step 1 that B lacks, in sample 1; B has two in conv2 at step 1, one in conv1 at step 3."""
    a, b = [{"conv1": zeros(), "conv2": zeros()} for _ in range(2)]
    a["conv1"][1, 1, 0, 1, 0] = b["conv2"][0, 1, 0, 0, 1] = b["conv2"][0, 1, 0, 1, 1] = b["conv1"][0, 3, 0, 0, 0] = True
    a["conv1"][0, 0] = b["conv1"][0, 0] = True
    found = Differences(line_up(raster(tmp_path / "a.h5", **a), raster(tmp_path / "b.h5", **b)))
    assert found.only.tolist() == [[[0, 1, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 1], [0, 2, 0, 0]]]
    assert found.spikes.tolist() == [[5, 0], [5, 2]]
    first, second, third = (
        Bit("conv1", 1, 1, (0, 1, 0), True),
        Bit("conv2", 0, 1, (0, 0, 1), False),
        Bit("conv1", 0, 3, (0, 0, 0), False),
    )
    assert [*found.firsts()] == [first, second, third]  # of one step, the layer nearer to the input
    assert [*found.firsts("conv2")] == [*found.firsts(2)] == [second]
    assert [*found.firsts(sample=0)] == [second, third]
    with pytest.raises(InputError, match="layer: no layer 'conv3'; did you mean conv"):
        next(found.firsts("conv3"))
    table = found.table()
    assert table[table["only_second"] > 0].to_numpy().tolist() == [["conv1", 3, 0, 1], ["conv2", 1, 0, 2]]


@given(
    bits=arrays.arrays(np.bool_, st.tuples(st.just(2), st.integers(1, 3), st.integers(1, 5), *[st.integers(1, 3)] * 3))
)
@settings(max_examples=25)
def test_counts_are_numpys_and_exchanged_with_the_rasters(bits: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("rasters")
    rasters = [raster(folder / f"{number}.h5", conv1=each) for number, each in enumerate(bits)]
    there, back = Differences(line_up(*rasters)), Differences(line_up(*rasters[::-1]))
    expected = [np.sum(one & ~other, axis=(0, 2, 3, 4)).tolist() for one, other in (bits, bits[::-1])]
    assert there.only[:, 0].tolist() == expected == back.only[::-1, 0].tolist()
    firsts = [*there.firsts()]
    assert {bit.sample for bit in firsts} == {
        sample for sample, (a, b) in enumerate(zip(*bits, strict=True)) if (a != b).any()
    }
    for bit in firsts:
        assert not (bits[0] != bits[1])[bit.sample, : bit.step].any()
        place = (bit.sample, bit.step, *bit.neuron)
        assert bits[0][place] == bit.fired != bits[1][place]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_raster_without_delays_is_beside_one_with_them(tmp_path: Path, swapped: bool) -> None:
    """Layer l of the second stands l steps later; its other steps are nobody's business."""
    rng = np.random.default_rng(0)
    quick = {name: rng.random((2, 5, 1, 2, 2)) < 0.5 for name in ("input", "conv1", "conv2")}
    slow = {name: np.ones((2, 7, 1, 2, 2), np.bool_) for name in quick}
    for late, (name, spikes) in enumerate(quick.items()):
        slow[name][:, late : late + 5] = spikes
    slow["conv2"][1, 2 + 3, 0, 1, 1] ^= True
    rasters = [raster(tmp_path / "quick.h5", **quick), raster(tmp_path / "slow.h5", layer_delay=1, **slow)]
    pair = line_up(*(rasters[::-1] if swapped else rasters))
    assert (pair.steps, pair.shifts[not swapped]) == (5, {"input": 0, "conv1": 1, "conv2": 2})
    (bit,) = Differences(pair).firsts()
    assert (bit.layer, bit.sample, bit.step, bit.neuron) == ("conv2", 1, 3, (0, 1, 1))
    slow.pop("input")
    without = raster(tmp_path / "without.h5", layer_delay=1, **slow)
    assert line_up(rasters[0], without).shifts[1] == {"conv1": 1, "conv2": 2}


def test_rasters_that_cannot_be_compared(tmp_path: Path) -> None:
    a = raster(tmp_path / "a.h5", conv1=zeros())
    for message, options in (
        (r"b\.h5: holds 3 samples, expected 2, as .*a\.h5 does", {"conv1": zeros(samples=3)}),
        (r"b\.h5: sample 1 is number 9 of its data, in .*a\.h5 it is number 1", {"conv1": zeros(), "index": [0, 9]}),
        (r"b\.h5: has 5 steps, expected 4, as .*a\.h5 has", {"conv1": zeros(5)}),
        (r"b\.h5: holds layers conv9, expected some of those of .*a\.h5: conv1", {"conv9": zeros()}),
        (r"b\.h5: layer 'conv1' is 1×2×1, expected 1×2×2, as in", {"conv1": zeros()[..., :1]}),
        (
            r"b\.h5: passes spikes on a step later in each layer and has 4 steps, .*a\.h5 in the same step and has 4; "
            "expected so many more as the last layer is deep.*layer_delay",
            {"conv1": zeros(), "layer_delay": 1},
        ),
    ):
        with pytest.raises(InputError, match=message) as raised:
            line_up(a, raster(tmp_path / "b.h5", **options))
        assert "\n" not in str(raised.value)
    assert line_up(a, raster(tmp_path / "b.h5", conv1=zeros(), index=[0, 9]), same_index=False).steps == 4
