"""What was written is read back, from a file or from memory, layer by layer and sample by
sample.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.common.errors import InputError
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.schema import MapLayer
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import LayerSpec
from tests.recordings import maps
from tests.recordings.conftest import RASTER, Kind
from tests.recordings.rasters import HEADER, readout, record, samples, spikes

shapes = st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 5))


@settings(max_examples=25)
@given(
    layers=st.lists(shapes, min_size=1, max_size=3),
    count=st.sampled_from([1, 2, 15, 16, 17, 33]),
    timesteps=st.sampled_from([1, 2, 7]),
    size=st.integers(1, 16),
    precision=st.sampled_from(["fixed", "float32"]),
    delay=st.sampled_from([0, 1]),
)
def test_a_raster_is_read_back(
    layers: list[tuple[int, int, int]],
    count: int,
    timesteps: int,
    size: int,
    precision: str,
    delay: int,
) -> None:
    kinds = ["input", "conv", "conv"]
    specs = tuple(
        LayerSpec(
            f"layer{number}",
            number,
            shape,
            kinds[number],
            float(number),
            0.5 * (number > 0),
            number or None,
        )
        for number, shape in enumerate(layers)
    )
    header = replace(
        HEADER, layers=specs, timesteps=timesteps, precision=precision, layer_delay=delay
    )
    with tempfile.TemporaryDirectory() as scratch:
        path = record(Path(scratch), count, header, size)
        assert [entry.name for entry in Path(scratch).iterdir()] == ["raster.h5"]
        with RasterReader(path) as raster:
            raster.verify()
            assert raster.header == header
            assert np.array_equal(raster.samples.index, samples(count).index)
            assert np.array_equal(raster.samples.label, samples(count).label)
            assert np.array_equal(raster.readout, [readout(header, at) for at in range(count)])
            for layer in specs:
                expected = np.stack([spikes(header, layer, at) for at in range(count)], axis=1)
                assert np.array_equal(raster.spikes(layer), expected)
                assert np.array_equal(raster.counts(layer), expected.sum(axis=(2, 3, 4)).T)
                for some in (
                    (slice(count // 2, None), slice(None, None, 2)),
                    (slice(None, None, -1), slice(None, 0, -1)),
                ):
                    assert np.array_equal(raster.spikes(layer, *some), expected[some[1], some[0]])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"steps": (), "stepped": 0},
        {"stepped": 3},
        {"timesteps": 1, "layers": (MapLayer("conv4", 4, (1, 1), 1),), "steps": (0,)},
        {
            "timesteps": 5,
            "layers": (MapLayer("conv1", 1, (400, 300), 5),),
            "steps": tuple(range(5)),
        },
    ],
    ids=["some steps", "sums alone", "every sample", "a pixel", "several chunks"],
)
def test_maps_are_read_back(tmp_path: Path, change: dict[str, object]) -> None:
    header = replace(maps.HEADER, **change)
    with MapReader(maps.write(tmp_path / "new" / "sam.h5", header)) as found:
        assert (found.header, found.timesteps, found.steps) == (
            header,
            header.timesteps,
            header.steps,
        )
        np.testing.assert_array_equal(found.samples.index, maps.SAMPLES.index)
        np.testing.assert_array_equal(found.samples.label, maps.SAMPLES.label)
        np.testing.assert_array_equal(found.predictions, maps.PREDICTIONS)
        for layer in found.layers:
            assert found[layer].sum.dtype == np.float32
            for sample in range(3):
                np.testing.assert_array_equal(
                    found.read_sum(layer, sample), maps.made_up_sum(layer, sample)
                )
                np.testing.assert_array_equal(
                    found[layer].sum[sample], maps.made_up_sum(layer, sample)
                )
            for sample in range(header.stepped):
                np.testing.assert_array_equal(
                    found[layer][sample], maps.made_up(header, layer, sample)
                )
        found.verify()


def test_a_sample_without_maps_of_its_steps_says_so(tmp_path: Path) -> None:
    for header, kept, first in (
        (maps.HEADER, "its first 2 samples", 2),
        (replace(maps.HEADER, stepped=1), "its first sample", 1),
        (maps.SUMS_ALONE, "no sample", 0),
    ):
        with MapReader(maps.write(tmp_path / f"{first}.h5", header)) as found:
            for wanted in (first, -1, slice(None)):
                with pytest.raises(
                    InputError,
                    match=f"step by step of {kept}, not of sample .; take .sum, or explain",
                ):
                    found["conv1"][wanted]
            assert found["conv1"][:first].shape == (len(header.steps), first, 2, 3)


STEPS_OF_480_KB = replace(
    maps.HEADER, layers=(MapLayer("conv1", 1, (400, 300), 5),), steps=tuple(range(5)), stepped=1
)
ROWS_OF_4_KB = replace(maps.SUMS_ALONE, layers=(MapLayer("conv1", 1, (600, 1024), 5),))
STEPS_OF_37_500_BYTES = replace(
    HEADER, layers=(LayerSpec("conv1", 1, (3, 250, 400), "conv", 1, 1),), timesteps=30
)


@pytest.mark.parametrize(
    ("write", "values", "chunks", "stored"),
    [
        (lambda folder: record(folder, 1, STEPS_OF_37_500_BYTES), "spikes", (1, 27, 37_500), 2),
        (lambda folder: maps.write(folder / "sam.h5", STEPS_OF_480_KB), "sam", (1, 2, 400, 300), 3),
        (lambda folder: maps.write(folder / "sam.h5", ROWS_OF_4_KB), "sum", (1, 256, 1024), 9),
    ],
    ids=["spikes", "maps", "sums"],
)
def test_large_samples_are_cut_into_chunks_of_a_mebibyte(
    tmp_path: Path, write: Callable[[Path], Path], values: str, chunks: tuple[int, ...], stored: int
) -> None:
    with h5py.File(written := write(tmp_path)) as file:
        dataset = file[f"layers/001_conv1/{values}"]
        assert (dataset.chunks, dataset.id.get_num_chunks()) == (chunks, stored)
    if values == "spikes":
        with RasterReader(written) as raster:
            expected = spikes(raster.header, raster.layers[0], 0)
            for some in (slice(25, 29), slice(28, 30)):
                assert np.array_equal(raster.spikes(1, slice(0, 1), some)[:, 0], expected[some])
            assert raster.spikes(1, slice(0, 0)).shape == (30, 0, 3, 250, 400)
    else:
        with MapReader(written) as found:
            np.testing.assert_array_equal(
                found["conv1"].sum[0], maps.made_up_sum(found.layers[0], 0)
            )
            found.verify()


def expected_values(kind: Kind, sample: int) -> NDArray[np.generic]:
    """What the layer conv1 of a golden file holds of a sample."""
    layer = kind.header.layers[1]
    return (
        spikes(HEADER, layer, sample)
        if kind == RASTER
        else maps.made_up(maps.HEADER, layer, sample)
    )


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_layer_is_read_sample_by_sample(kind: Kind, file: Path, in_memory: bool) -> None:
    expected = np.stack([expected_values(kind, sample) for sample in range(2)], axis=1)
    steps, _, *shape = expected.shape
    with kind.reader(file.read_bytes() if in_memory else file) as found:
        assert list(found) == list(found.keys()) == [layer.name for layer in kind.header.layers]
        assert (found.path, found.file_name) == (
            (None, f"{kind.noun} in memory") if in_memory else (file, str(file))
        )
        assert found.size == file.stat().st_size
        assert found.samples.index[0] in (0, 9) and found.labels is found.samples.label
        for name in ("conv1", 1, "1", "001", found.layers[1]):
            assert found.layer(name) == kind.header.layers[1]
        layer = found["conv1"]
        assert (len(layer), layer.name, layer.shape, layer.spec) == (
            3,
            "conv1",
            tuple(shape),
            kind.header.layers[1],
        )
        assert layer.steps_that_matter == 5
        assert f"3 samples, {steps} steps, {'×'.join(map(str, shape))}>" in repr(layer)
        assert layer[0].dtype == expected.dtype
        assert np.array_equal(layer[0], expected[:, 0])
        assert np.array_equal(layer[-2], expected[:, 1])
        assert np.array_equal(found[1][1:2], expected[:, 1:])
        assert layer[3:].shape == (steps, 0, *shape)
        for asked, message in (
            (lambda: layer[3], "no sample 3, expected 0 to 2"),
            (lambda: layer["conv1"], "got sample 'conv1', expected a whole number or a slice"),
            (lambda: layer[1.5], "got sample 1.5, expected a whole number or a slice"),
            (lambda: found["convl"], r"no layer 'convl'; did you mean conv1\?"),
            (
                lambda: found["conv1, input"],
                "no layer 'conv1, input'; name several one by one, without commas",
            ),
            (lambda: found[9], "no layer 9; did you mean input or conv1"),
        ):
            with pytest.raises(
                InputError, match=rf"{'in memory' if in_memory else file.name}: {message}"
            ):
                asked()


def test_all_samples_of_a_layer() -> None:
    expected = np.stack([spikes(HEADER, HEADER.layers[1], sample) for sample in range(3)], axis=1)
    with RasterReader(RASTER.golden) as raster:
        layer = raster["conv1"]
        assert np.array_equal(np.stack(list(layer), axis=1), expected)
        assert np.array_equal(np.asarray(layer), expected)
        assert np.array_equal(layer.counts, expected.sum(axis=(2, 3, 4)).T)
        with pytest.raises(InputError, match="no sample 3, expected 0 to 2"):
            raster.packed("conv1", 3)


def test_verifying_goes_through_every_layer_of_every_sample(kind: Kind) -> None:
    with kind.reader(kind.golden) as found:
        found.verify(seen := Mock())
        assert seen.call_count == 3 * len(found.layers)
