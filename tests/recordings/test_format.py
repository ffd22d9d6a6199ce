"""What is in a raster file, read back through the reader, through plain h5py, and from an old file."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesam.recordings.digests import raster_digest
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster import schema
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import LayerSpec
from spikesam.recordings.raster.writer import GrowingWriter, check_batch
from spikesam.recordings.schema import SampleTable
from tests.recordings.rasters import GOLDEN, HEADER, batch, readout, record, samples, spikes

GOLDEN_DIGEST = "32972015b193ed7fdf0b64f9dcca1d6846a44fc6ab17cc711e5ad5e5101d029c"
DOCUMENT = Path(schema.__file__).parents[1] / "FORMAT.md"

shapes = st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 5))


@settings(max_examples=25)
@given(
    layers=st.lists(shapes, min_size=1, max_size=3),
    count=st.sampled_from([1, 2, 15, 16, 17, 33]),
    timesteps=st.sampled_from([1, 2, 7]),
    size=st.integers(1, 16),
    precision=st.sampled_from(["fixed", "float32"]),
)
def test_what_was_written_is_read_back(
    layers: list[tuple[int, int, int]], count: int, timesteps: int, size: int, precision: str
) -> None:
    kinds = ["input", "conv", "conv"]
    specs = tuple(
        LayerSpec(f"layer{number}", number, shape, kinds[number], float(number), 0.5 * (number > 0))
        for number, shape in enumerate(layers)
    )
    header = replace(HEADER, layers=specs, timesteps=timesteps, precision=precision)
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
                some = slice(count // 2, None), slice(None, None, 2)
                assert np.array_equal(raster.spikes(layer, *some), expected[some[1], some[0]])


def test_long_rasters_are_cut_into_chunks_of_a_mebibyte(tmp_path: Path) -> None:
    # 300,000 neurons make 37,500 bytes per step: 27 steps fit 2²⁰ bytes, so 30 steps need two chunks.
    layer = LayerSpec("conv1", 1, (3, 250, 400), "conv", 1.0, 0.9)
    header = replace(HEADER, layers=(layer,), timesteps=30)
    path = record(tmp_path, 1, header)
    expected = spikes(header, layer, 0)
    with h5py.File(path) as file:
        assert file["layers/001_conv1/spikes"].chunks == (1, 27, 37_500)
        assert file["layers/001_conv1/spikes"].id.get_num_chunks() == 2
        assert np.array_equal(np.unpackbits(file["layers/001_conv1/spikes"][0], axis=-1), expected.reshape(30, -1))
    with RasterReader(path) as raster:
        raster.verify()
        assert np.array_equal(raster.spikes(1, slice(0, 1), slice(25, 29))[:, 0], expected[25:29])
        assert np.array_equal(raster.spikes(1, slice(0, 1), slice(28, 30))[:, 0], expected[28:])
        assert raster.spikes(1, slice(0, 0)).shape == (30, 0, 3, 250, 400)


def test_plain_h5py_reads_everything(tmp_path: Path) -> None:
    with h5py.File(record(tmp_path, 20)) as file:
        attributes = dict(file.attrs)
        assert json.loads(attributes.pop("versions"))["h5py"] == h5py.__version__
        assert len(attributes.pop("run_uuid")) == 36
        assert len(attributes.pop("raster_digest")) == 64
        assert len(attributes.pop("content_digest")) == 64
        assert attributes == {
            "format": "spike-raster",
            "schema_version": 3,
            "complete": True,
            "backend": "torch",
            "device": "cpu",
            "precision": "fixed",
            "T": 6,
            "K": 3,
            "layer_delay": 1,
            "dt": 0.001,
            "seed": 7,
            "network_sha256": "ab" * 32,
            "dataset": "made-up",
            "config": '{"samples": 20}',
        }
        packed = file["layers/001_conv1/spikes"]
        assert (packed.shape, packed.dtype, packed.compression, packed.fletcher32) == ((20, 6, 8), "u1", "gzip", True)
        assert {**packed.attrs, "shape": packed.attrs["shape"].tolist()} == {
            "shape": [3, 4, 5],
            "axes": "sample, step, bits of (channel, row, column)",
            "kind": "conv",
            "threshold": 4096.0,
            "leak": 0.99,
        }
        expected = spikes(HEADER, HEADER.layers[1], 17)
        bits = np.unpackbits(packed[17], axis=-1)
        assert np.array_equal(bits[:, :60].reshape(expected.shape), expected)
        assert not bits[:, 60:].any()
        digest = hashlib.sha256(packed[17].tobytes()).hexdigest()
        assert file["layers/001_conv1/digest"][17] == digest.encode()
        assert file["layers/001_conv1/digest"].dtype == "S64"


def test_raster_digest_goes_layer_by_layer_then_sample_by_sample() -> None:
    raw = [hashlib.sha256(bytes([number])) for number in range(4)]
    hexadecimal = [np.array([digest.hexdigest() for digest in pair], "S64") for pair in (raw[:2], raw[2:])]
    assert raster_digest(hexadecimal) == hashlib.sha256(b"".join(digest.digest() for digest in raw)).hexdigest()


def test_the_content_digest_is_what_the_documentation_says() -> None:
    with h5py.File(GOLDEN) as file:
        root = {name: file.attrs[name] for name in file.attrs if name not in ("content_digest", "complete")}
        root = {name: value if isinstance(value, str) else value.item() for name, value in root.items()}
        about = {"/": {**root, "dt": root["dt"].hex()}, "/readout": {"scale": (0.5).hex()}}
        tables = [file[f"samples/{name}"][:] for name in ("index", "label", "prediction")] + [file["readout"][:]]
        for name, layer in file["layers"].items():
            found = layer["spikes"].attrs
            about[f"/layers/{name}/spikes"] = {
                "shape": found["shape"].tolist(),
                "axes": found["axes"],
                "kind": found["kind"],
                "threshold": found["threshold"].hex(),
                "leak": found["leak"].hex(),
            }
            tables += [layer["count"][:], layer["digest"][:]]
        text = json.dumps(about, sort_keys=True, separators=(",", ":"))
        expected = hashlib.sha256(text.encode() + b"".join(table.tobytes() for table in tables)).hexdigest()
        assert file.attrs["content_digest"] == expected


def test_digest_depends_on_spikes_alone(tmp_path: Path) -> None:
    other = replace(HEADER, backend="lava", device="two cores", dt=1.0, config="{}", dataset="renamed")
    paths = [record(tmp_path / "a", 20), record(tmp_path / "b", 20, other, 16)]
    digests = []
    for path in paths:
        with RasterReader(path) as raster:
            digests.append(raster.raster_digest)
    assert digests[0] == digests[1]
    with RasterReader(record(tmp_path / "c", 20, replace(HEADER, seed=8))) as raster:
        assert raster.raster_digest != digests[0]


def test_ties_of_the_readout_go_to_the_lowest_class(tmp_path: Path) -> None:
    writer = GrowingWriter(tmp_path / "raster.h5", HEADER)
    made = batch(HEADER, range(2))
    made.readout[:] = [[1, 5, 5], [0, 0, 0]]
    writer.append(made, samples(2))
    with RasterReader(writer.finalize()) as raster:
        assert raster.predictions.tolist() == [1, 0]


def test_golden_file_of_version_3_stays_readable() -> None:
    with RasterReader(GOLDEN) as raster:
        raster.verify()
        assert raster.raster_digest == GOLDEN_DIGEST
        assert raster.header == replace(HEADER, config='{"golden": true}')
        assert raster.samples.label.tolist() == [0, 1, 2]
        assert np.array_equal(raster.spikes("conv1")[:, 2], spikes(HEADER, HEADER.layers[1], 2))


def test_the_example_in_the_documentation_runs(tmp_path: Path) -> None:
    record(tmp_path, 2)
    snippet, _ = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippet.split("with", 1)[1].splitlines()) <= 10
    ran = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=True)
    counts = spikes(HEADER, HEADER.layers[2], 0).sum(axis=(1, 2, 3))
    assert ran.stdout.splitlines()[-1] == f"002_fc1 (6, 7, 1, 1) spikes per step: {counts}"


def test_layers_are_found_by_name_and_by_number() -> None:
    with RasterReader(GOLDEN) as raster:
        for name in ("conv1", 1, "1", "001", raster.layers[1]):
            assert raster.layer(name) == HEADER.layers[1]
        with pytest.raises(InputError, match=r"golden-v3\.h5: no layer 'convl'; did you mean conv1\?"):
            raster.layer("convl")
        with pytest.raises(InputError, match="no layer 9; did you mean input or conv1 or fc1"):
            raster.layer(9)
        with pytest.raises(InputError, match="no sample 3, expected 0 to 2"):
            raster.packed("conv1", 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timesteps": 0}, "timesteps is 0, expected 1 to 65,536"),
        ({"classes": -1}, "classes is -1, expected 1 to 65,536"),
        ({"classes": 0}, "readout_scale is 0.5, expected 1 where there is no readout"),
        ({"precision": "half"}, "precision is 'half', expected one of fixed, float32"),
        ({"seed": -1}, "seed is -1"),
        ({"dt": 0.0}, "dt is 0.0"),
        ({"network_sha256": "short"}, "network_sha256 is 'short', expected 64"),
        ({"config": "{"}, "config: not valid JSON"),
        ({"layers": HEADER.layers[::-1]}, "layers are 2 fc1, 1 conv1, 0 input; expected ascending numbers"),
        ({"layers": (HEADER.layers[0], replace(HEADER.layers[1], name="input"))}, "expected different names"),
        ({"layer_delay": 2}, "layer_delay is 2, expected 0 or 1 step"),
        ({"window": 5}, "window is 5, expected 1 to 4 of 6 steps"),
        ({"layers": ()}, "0 layers"),
        ({"dataset": "caf\udce9"}, "dataset holds a null character or half a surrogate pair"),
        ({"device": "cpu\0"}, "device holds a null character or half a surrogate pair"),
    ],
)
def test_a_header_refuses_what_no_file_may_hold(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(HEADER, **change)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (("1_conv", 1, (1, 1, 1), "conv"), "layer '1_conv': expected a name such as 'conv1'"),
        (("features.0", 1, (1, 1, 1), "conv"), "layer 'features.0': expected a name such as 'conv1'"),
        (("conv1", 1, (1, 0, 1), "conv"), "expected positive"),
        (("conv1", 1, (1, 1, 1), "pool"), "kind is 'pool'"),
        (("conv1", 1, (1 << 28, 1, 1), "conv"), "268,435,456 neurons, expected at most"),
    ],
)
def test_a_layer_refuses_what_no_file_may_hold(layer: tuple[str, int, tuple[int, int, int], str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LayerSpec(*layer, threshold=1.0, leak=1.0)


def test_a_sample_table_needs_samples_and_matching_integers() -> None:
    for index, label in ((np.arange(0), np.arange(0)), (np.arange(3), np.arange(2)), (np.arange(2.0), np.arange(2))):
        with pytest.raises(InputError):
            SampleTable(index, label)


def test_batches_that_do_not_fit_the_header_are_refused() -> None:
    with pytest.raises(ValueError, match="the header says"):
        check_batch(HEADER, batch(replace(HEADER, timesteps=5), range(2)))
    with pytest.raises(ValueError, match="input, conv1; the header has"):
        check_batch(HEADER, batch(replace(HEADER, layers=HEADER.layers[:2]), range(2)))
    padded = batch(HEADER, range(2))
    padded.spikes["conv1"][1, 3, -1] |= 1
    with pytest.raises(ValueError, match="conv1: pad bits are set"):
        check_batch(HEADER, padded)
    made = replace(batch(HEADER, range(2)), predictions=np.zeros(2, np.int32))
    with pytest.raises(ValueError, match="which the readout of the header gives already"):
        check_batch(HEADER, made)
    unknown = replace(HEADER, classes=0, readout_scale=1.0)
    made = replace(batch(unknown, range(2)), predictions=np.zeros(3, np.int32))
    with pytest.raises(ValueError, match=r"predictions: \(3,\) int32, the header says \(2,\) int32"):
        check_batch(unknown, made)
    check_batch(HEADER, batch(HEADER, range(2)))


def test_a_layer_is_read_sample_by_sample() -> None:
    expected = np.stack([spikes(HEADER, HEADER.layers[1], sample) for sample in range(3)], axis=1)
    with RasterReader(GOLDEN) as raster:
        assert list(raster) == ["input", "conv1", "fc1"]
        layer = raster["conv1"]
        assert (len(layer), layer.name, layer.shape, layer.spec) == (3, "conv1", (3, 4, 5), HEADER.layers[1])
        assert layer[0].dtype == bool
        assert np.array_equal(layer[0], expected[:, 0])
        assert np.array_equal(layer[-1], expected[:, 2])
        assert np.array_equal(raster[1][1:], expected[:, 1:])
        assert layer[3:].shape == (6, 0, 3, 4, 5)
        assert np.array_equal(np.stack(list(layer), axis=1), expected)
        assert np.array_equal(layer.counts, expected.sum(axis=(2, 3, 4)).T)
        with pytest.raises(InputError, match=r"golden-v3\.h5: no sample 3, expected 0 to 2"):
            layer[3]
        with pytest.raises(InputError, match="got sample 'conv1', expected a whole number or a slice"):
            layer["conv1"]
        with pytest.raises(InputError, match=r"no layer 'conv'; did you mean conv1\?"):
            raster["conv"]


@pytest.mark.parametrize(("delay", "steps"), [(1, [4, 5, 6]), (0, [6, 6, 6])])
def test_the_delay_of_layers_decides_which_steps_matter(tmp_path: Path, delay: int, steps: list[int]) -> None:
    with RasterReader(record(tmp_path, 1, replace(HEADER, layer_delay=delay))) as raster:
        assert [raster.steps_that_matter(layer) for layer in raster] == steps
        assert [raster[layer].steps_that_matter for layer in raster] == steps


def test_a_window_ends_as_early_as_the_layer_is_far_from_the_readout(tmp_path: Path) -> None:
    with RasterReader(record(tmp_path, 1, HEADER)) as raster:
        assert {raster.header.window_of(layer) for layer in raster.layers} == {slice(0, 6)}
    (tmp_path / "window").mkdir()
    with RasterReader(record(tmp_path / "window", 1, replace(HEADER, window=3))) as raster:
        assert [raster.header.window_of(layer) for layer in raster.layers] == [slice(1, 4), slice(2, 5), slice(3, 6)]


def test_the_way_to_the_readout_decides_where_layers_are_no_chain(tmp_path: Path) -> None:
    layers = tuple(replace(layer, to_readout=way) for layer, way in zip(HEADER.layers, (3, 1, 0), strict=True))
    with RasterReader(record(tmp_path, 1, replace(HEADER, layers=layers))) as raster:
        assert [raster.steps_that_matter(layer) for layer in raster] == [3, 5, 6]
        assert raster.header.layers == layers
