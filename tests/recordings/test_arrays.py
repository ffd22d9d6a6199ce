"""Rasters from arrays and from lists of spikes: what is written is read back, and nothing else is
taken.
"""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikesam.common.errors import InputError
from spikesam.recordings.raster.arrays import write_raster
from spikesam.recordings.raster.events import SpikeEvents
from spikesam.recordings.raster.reader import RasterReader

RANDOM = np.random.default_rng(0)
CONV = RANDOM.random((20, 6, 3, 4, 5)) < 0.2  # (N, T, C, H, W)
DENSE = RANDOM.random((20, 6, 7)) < 0.2


def test_layers_are_numbered_with_the_input_first(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "new" / "c.h5", {"conv1": CONV, "fc1": DENSE, "input": CONV[:, :, :2]}
    )
    with RasterReader(path) as raster:
        raster.verify()
        assert [(layer.name, layer.number, layer.kind, layer.shape) for layer in raster.layers] == [
            ("input", 0, "input", (2, 4, 5)),
            ("conv1", 1, "conv", (3, 4, 5)),
            ("fc1", 2, "dense", (7, 1, 1)),
        ]
        assert np.array_equal(raster["conv1"][:], CONV.swapaxes(0, 1))
        assert np.array_equal(raster["fc1"][19], DENSE[19][..., None, None])
        assert raster.samples.index.tolist() == list(range(20))
        assert raster.samples.label.tolist() == raster.predictions.tolist() == [-1] * 20
        assert raster.readout.shape == (20, 0)
        assert raster.header.network_sha256 == ""
        assert raster.steps_that_matter("input") == 6  # without delay, every step matters
    assert [file.name for file in path.parent.iterdir()] == ["c.h5"]
    path = write_raster(
        tmp_path / "d.h5", {"a": CONV, "b": CONV[..., :1, :1]}, layer_delay=1
    )  # 1 without an input
    with RasterReader(path) as raster:
        assert [(spec.name, spec.number, spec.kind) for spec in raster.layers] == [
            ("a", 1, "conv"),
            ("b", 2, "dense"),
        ]
        assert [raster.steps_that_matter(layer) for layer in raster] == [5, 6]


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_a_reader_goes_to_another_process(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_raster(tmp_path / "c.h5", {"conv1": CONV})
    monkeypatch.chdir(tmp_path)
    with RasterReader("c.h5" if where == "disk" else path.read_bytes()) as raster:
        sent = pickle.dumps(raster)
    monkeypatch.chdir("/")  # the other process may be elsewhere
    with pickle.loads(sent) as arrived:
        assert np.array_equal(arrived["conv1"][19], CONV[19])
        assert arrived.raster_digest == raster.raster_digest


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float16, np.float64])
def test_any_dtype_gives_the_same_spikes(tmp_path: Path, dtype: type) -> None:
    files = (
        write_raster(tmp_path / f"{at}.h5", {"a": CONV.astype(kind)})
        for at, kind in enumerate((bool, dtype))
    )
    expected, found = (RasterReader(file).raster_digest for file in files)
    assert found == expected


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.bfloat16])
def test_tensors_are_taken_even_where_they_need_gradients(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    spikes = torch.from_numpy(CONV).to(dtype)
    if dtype.is_floating_point:
        spikes.requires_grad_()
    path = write_raster(tmp_path / "c.h5", {"a": spikes}, labels=torch.arange(20))
    with RasterReader(path) as raster:
        assert np.array_equal(raster["a"][:], CONV.swapaxes(0, 1))
        assert raster.samples.label.tolist() == list(range(20))


def test_what_is_known_of_the_samples_is_kept(tmp_path: Path) -> None:
    known = {
        "labels": [1, 2, -1] + [0] * 17,
        "predictions": [1, 0, 3] + [-1] * 17,
        "index": np.arange(20) * 5,
    }
    path = write_raster(tmp_path / "c.h5", {"a": CONV}, dataset="made-up", **known)
    with RasterReader(path) as raster:
        assert raster.samples.label.tolist() == known["labels"]
        assert raster.predictions.tolist() == known["predictions"]
        assert raster.samples.index[-1] == 95
        header = raster.header
        assert (header.dataset, header.timesteps, header.seed, header.precision) == (
            "made-up",
            6,
            0,
            "float32",
        )
        assert (header.backend, header.device, header.network_sha256) == ("arrays", "", "")


def changed(value: float, *place: int) -> np.ndarray:
    spikes = CONV.astype(np.float32)
    spikes[place] = value
    return spikes


@pytest.mark.parametrize(
    ("layers", "more", "message"),
    [
        ({}, {}, "got no layer"),
        (
            {"a": changed(2, 17, 1, 0, 0, 0)},
            {},
            "layer 'a', sample 17: got the value 2.0, expected spikes of 0 and 1",
        ),
        ({"a": changed(np.nan, 0, 5, 2, 3, 4)}, {}, "layer 'a', sample 0: got the value nan"),
        ({"a": torch.full((1, 1, 1), -1)}, {}, "layer 'a', sample 0: got the value -1"),
        ({"a": CONV.astype(str)}, {}, "layer 'a': got dtype <U5"),
        (
            {"a": CONV[0]},
            {},
            r"'a': got shape \(6, 3, 4, 5\), expected \(N, T, C, H, W\), or \(N, T, K\) if dense",
        ),
        ({"a": CONV.tolist()}, {}, "layer 'a': got list, expected"),
        ({"a": CONV[:0]}, {}, r"layer 'a': got shape \(0, 6, 3, 4, 5\), expected no side of 0"),
        ({"a": CONV[:, :0]}, {}, r"layer 'a': got shape \(20, 0, 3, 4, 5\), expected no side of 0"),
        (
            {"a": CONV, "b": DENSE[:9]},
            {},
            "layer 'b': got 9 samples and 6 steps, expected 20 and 6, as layer 'a' has",
        ),
        ({"a": CONV, "b": DENSE[:, :5]}, {}, "layer 'b': got 20 samples and 5 steps"),
        (
            {"a": CONV, "b": SpikeEvents([0], [0], [0], (19, 6, 9))},
            {},
            "'b': got 19 samples and 6 steps, expected 20",
        ),
        ({"features.0": CONV}, {}, "layer 'features.0': expected a name such as 'conv1'"),
        ({3: CONV}, {}, "layer '3': expected a name"),
        (
            {"a": CONV},
            {"labels": [1, 2]},
            r"labels: got shape \(2,\) of int64, expected 20 whole numbers",
        ),
        (
            {"a": CONV},
            {"labels": np.ones(20)},
            "labels: got real numbers, expected 20 whole ones; where outputs are numbers, compare",
        ),
        (
            {"a": CONV},
            {"predictions": [1 << 40] * 20},
            "got 1099511627776 to .*, expected -1 to 2147483647",
        ),
        ({"a": CONV}, {"dataset": None}, "dataset is None, expected a text"),
        ({"a": CONV}, {"dataset": 5}, "dataset is 5, expected a text"),
        ({"a": CONV}, {"layer_delay": True}, "layer_delay is True, expected 0 or 1 step"),
        ({"a": CONV}, {"layer_delay": 1.0}, "layer_delay is 1.0, expected 0 or 1 step"),
    ],
)
def test_anything_else_is_refused_by_name(
    tmp_path: Path, layers: dict, more: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_raster(tmp_path / "c.h5", layers, **more)
    assert not any(tmp_path.iterdir())


def test_a_file_is_replaced_only_if_asked(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "c.h5", {"a": CONV})
    with pytest.raises(
        InputError, match=r"c\.h5: already exists; choose another name, or .* with overwrite=True"
    ):
        write_raster(path, {"b": DENSE})
    with pytest.raises(InputError, match="got no layer"):
        write_raster(path, {}, overwrite=True)
    with RasterReader(path) as raster:
        assert list(raster) == ["a"]
    with RasterReader(write_raster(path, {"b": DENSE}, overwrite=True)) as raster:
        assert list(raster) == ["b"]
    with pytest.raises(InputError, match="a directory, expected the name of a file"):
        write_raster(tmp_path, {"a": CONV}, overwrite=True)


@pytest.mark.parametrize("name", ["readout", "predictions"])
def test_a_layer_may_be_called_like_what_stands_beside_layers(tmp_path: Path, name: str) -> None:
    spikes = np.ones((1, 2, 3), bool)
    with RasterReader(write_raster(tmp_path / "raster.h5", {name: spikes})) as raster:
        assert raster[name].counts.tolist() == [[3, 3]]


SHAPE = (20, 6, 3, 4, 5)  # 60 neurons: 7.5 bytes a step


def listed(spikes: np.ndarray, dtype: type = np.int64) -> dict[str, np.ndarray]:
    """Every spike of an array, in random order."""
    sample, step, neuron = np.nonzero(spikes.reshape(*spikes.shape[:2], -1))
    order = np.random.default_rng(1).permutation(len(sample))
    return {
        "sample": sample[order].astype(dtype),
        "step": step[order].astype(dtype),
        "neuron": neuron[order],
    }


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_a_list_of_spikes_gives_the_raster_of_their_array(tmp_path: Path, dtype: type) -> None:
    dense = CONV[..., 0, 0]
    layers = {"input": CONV[:, :, :2], "conv1": SpikeEvents(**listed(CONV, dtype), shape=SHAPE)}
    found = write_raster(
        tmp_path / "events.h5", layers | {"fc1": SpikeEvents(**listed(dense), shape=dense.shape)}
    )
    expected = write_raster(
        tmp_path / "arrays.h5", {"input": CONV[:, :, :2], "conv1": CONV, "fc1": dense}
    )
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
        assert np.array_equal(
            events.packed(rows, str, fired=False), np.packbits(dense[rows], axis=-1)
        )


def test_the_neuron_is_counted_over_channel_row_and_column_and_a_layer_may_be_silent(
    tmp_path: Path,
) -> None:
    neuron = np.ravel_multi_index(([2], [3], [4]), SHAPE[2:])
    layers = {
        "a": SpikeEvents([0], [5], torch.from_numpy(neuron), SHAPE),
        "b": SpikeEvents([], [], [], SHAPE),
    }
    with RasterReader(write_raster(tmp_path / "c.h5", layers)) as raster:
        assert np.argwhere(raster["a"][0]).tolist() == [[5, 2, 3, 4]]
        assert (raster["a"].counts.sum(), raster["b"].counts.sum()) == (1, 0)


def test_a_neuron_that_fires_twice_in_a_step_is_refused_or_merged(tmp_path: Path) -> None:
    events = SpikeEvents([0, 18, 18, 18], [1, 3, 3, 3], [0, 9, 9, 8], (20, 6, 10))
    message = (
        "'a', sample 18: neuron 9 fires more than once in step 3, expected at most once; "
        "pass counts='fired'"
    )
    with pytest.raises(InputError, match=message):
        write_raster(tmp_path / "c.h5", {"a": events})
    assert not any(tmp_path.iterdir())
    with RasterReader(write_raster(tmp_path / "c.h5", {"a": events}, counts="fired")) as raster:
        assert np.argwhere(raster["a"][18][..., 0, 0]).tolist() == [[3, 8], [3, 9]]


def test_counts_in_arrays_can_be_recorded_as_fired(tmp_path: Path) -> None:
    counts = CONV * np.random.default_rng(2).integers(1, 8, SHAPE)
    with pytest.raises(
        InputError, match=r"expected spikes of 0 and 1 only; pass counts='fired' to record that"
    ):
        write_raster(tmp_path / "c.h5", {"a": counts})
    with RasterReader(write_raster(tmp_path / "c.h5", {"a": counts}, counts="fired")) as raster:
        assert np.array_equal(raster["a"][:], CONV.swapaxes(0, 1))
    with pytest.raises(
        InputError, match=r"got the value -1.*; give -1, 0 and 1 as two planes of channels"
    ):
        write_raster(tmp_path / "d.h5", {"a": np.array([[[0.0], [-1.0]]])})
    for wrong in (-1, np.nan):
        with pytest.raises(
            InputError, match=f"got the value {wrong}.*, expected counts of 0 or more"
        ):
            write_raster(tmp_path / "d.h5", {"a": np.full((1, 1, 1), wrong, float)}, counts="fired")
    with pytest.raises(
        InputError, match="write_raster: counts: got 'all', expected None or 'fired'"
    ):
        write_raster(tmp_path / "d.h5", {"a": counts}, counts="all")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"step": [0.0, 1.0]},
            r"step: got shape \(2,\) of float64, expected \(E,\) whole numbers; SpikeEvents.from_t",
        ),
        (
            {"neuron": [True, False]},
            r"neuron: got shape \(2,\) of bool, expected \(E,\) whole numbers",
        ),
        ({"sample": [[0, 1]]}, r"sample: got shape \(1, 2\) of int64"),
        ({"sample": [0, 3]}, "sample: got 3 for spike 1, expected 0 to 2"),
        ({"step": [-1, 3]}, "step: got -1 for spike 0, expected 0 to 3"),
        ({"neuron": [0, 11]}, "neuron: got 11 for spike 1, expected 0 to 10"),
        (
            {"neuron": [0]},
            "got 2 of sample, 2 of step, 1 of neuron, expected one of each for every spike",
        ),
        (
            {"shape": (3, 4)},
            r"shape: got \(3, 4\), expected \(N, T, C, H, W\), or \(N, T, K\), above 0",
        ),
        ({"shape": (3, 0, 11)}, r"shape: got \(3, 0, 11\)"),
        ({"shape": (3, 4.0, 11)}, r"shape has the member 4.0"),
    ],
)
def test_what_does_not_fit_is_one_line(change: dict, message: str) -> None:
    given = {"sample": [0, 1], "step": [0, 1], "neuron": [0, 1], "shape": (3, 4, 11)} | change
    with pytest.raises(InputError, match=f"^SpikeEvents: {message}"):
        SpikeEvents(**given)
