"""The file of maps: round trips, whole or absent, and an untrusting reader."""

from __future__ import annotations

import hashlib
import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from spikesam.recordings.chunks import encode
from spikesam.recordings.errors import InputError, RasterError
from spikesam.recordings.maps import schema
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.schema import MapHeader, MapLayer
from spikesam.recordings.maps.writer import make_map_record, writing_maps
from spikesam.recordings.schema import SampleTable
from spikesam.recordings.validate import main
from spikesam.recordings.writer import SampleWriter

DOCUMENT = Path(schema.__file__).parents[1] / "FORMAT.md"
KERNEL = {"gamma": 0.5, "variant": "paper", "include_current": True}
LAYERS = (MapLayer("input", 0, (4, 5), 4), MapLayer("conv1", 1, (2, 3), 5))
STEPS = (0, 2, 5)
HEADER = MapHeader("sam", "cd" * 32, KERNEL, timesteps=6, layers=LAYERS, steps=STEPS, stepped=2)
SUMS_ALONE = replace(HEADER, steps=(), stepped=0)
SAMPLES = SampleTable(np.array([9, 4, 7]), np.array([0, -1, 2]))
PREDICTIONS = np.array([0, 1, 1], np.int32)


def made_up(header: MapHeader, layer: MapLayer, sample: int) -> NDArray[np.float32]:
    """Maps of a sample at the steps that the header keeps."""
    random = np.random.default_rng([sample, layer.number])
    return random.gamma(2, size=(header.timesteps, *layer.shape)).astype(np.float32)[list(header.steps)]


def made_up_sum(layer: MapLayer, sample: int) -> NDArray[np.float32]:
    return np.random.default_rng([7, sample, layer.number]).gamma(9, size=layer.shape).astype(np.float32)


def write_sample(writer: SampleWriter, header: MapHeader, sample: int) -> None:
    sums = {layer.name: made_up_sum(layer, sample) for layer in header.layers}
    maps = {layer.name: made_up(header, layer, sample) for layer in header.layers}
    maps = maps if sample < header.stepped else {}
    writer.add(sample, [make_map_record(header, sample, int(PREDICTIONS[sample]), sums, maps)])


def write(path: Path, header: MapHeader = HEADER) -> Path:
    with writing_maps(path, header, SAMPLES) as maps:
        for sample in range(len(SAMPLES)):
            write_sample(maps, header, sample)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "new" / "sam.h5")


def test_round_trip(path: Path) -> None:
    with MapReader(path) as maps:
        assert maps.header == HEADER
        assert list(maps) == ["input", "conv1"]
        np.testing.assert_array_equal(maps.samples.index, SAMPLES.index)
        np.testing.assert_array_equal(maps.samples.label, SAMPLES.label)
        np.testing.assert_array_equal(maps.predictions, PREDICTIONS)
        assert (maps.timesteps, maps.steps) == (6, STEPS)
        for layer in maps.layers:
            for sample in range(maps.n_samples):
                np.testing.assert_array_equal(maps.read_sum(layer, sample), made_up_sum(layer, sample))
            for sample in range(2):
                np.testing.assert_array_equal(maps[layer.name][sample], made_up(HEADER, layer, sample))
        maps.verify()


def test_sums_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "sam.h5", SUMS_ALONE)
    with h5py.File(path) as file:
        assert set(file) == {"samples", "layers"}
        assert set(file["layers/001_conv1"]) == {"sum", "sum_digest"}
    with MapReader(path) as maps:
        assert maps.header == SUMS_ALONE
        np.testing.assert_array_equal(maps["conv1"].sum[2], made_up_sum(LAYERS[1], 2))
        message = (
            "sam.h5: keeps maps step by step of no sample, not of sample 0; take .sum, or explain again with steps"
        )
        with pytest.raises(InputError, match=message):
            maps["conv1"][0]
        maps.verify()


def test_a_sample_without_maps_of_its_steps_says_so(path: Path) -> None:
    with MapReader(path) as maps:
        for wanted in (2, -1, slice(None)):
            with pytest.raises(InputError, match="step by step of its first 2 samples, not of sample 2; take .sum"):
                maps["conv1"][wanted]
        assert maps["conv1"][:2].shape == (3, 2, 2, 3)


def test_verifying_reads_sums_and_maps_of_every_sample(path: Path) -> None:
    seen: list[int] = []
    with MapReader(path) as maps:
        maps.verify(lambda: seen.append(1))
    assert len(seen) == 6
    for name, sample in (("sum", 2), ("sam", 1)):
        content = path.read_bytes()
        with h5py.File(path, "r+") as file:
            place = file[f"layers/001_conv1/{name}"]
            place[sample, ..., 0, 0] += 1
        message = rf"/layers/001_conv1/{name}_digest\[{sample}\]: .*, the SHA-256 of its maps"
        with MapReader(path) as maps, pytest.raises(RasterError, match=message):
            maps.verify()
        path.write_bytes(content)


def test_plain_h5py_reads_it(path: Path) -> None:
    with h5py.File(path) as file:
        attributes = dict(file.attrs)
        assert len(attributes.pop("content_digest")) == 64
        assert attributes == {
            "format": "spike-maps",
            "schema_version": 5,
            "complete": True,
            "method": "sam",
            "raster_digest": "cd" * 32,
            "gamma": 0.5,
            "variant": "paper",
            "include_current": True,
            "T": 6,
            "stepped": 2,
        }
        assert file["steps"][:].tolist() == [0, 2, 5] and file["steps"].dtype == np.int32
        maps, sums = file["layers/001_conv1/sam"], file["layers/001_conv1/sum"]
        assert (maps.shape, sums.shape) == ((2, 3, 2, 3), (3, 2, 3)) and maps.dtype == sums.dtype == np.float32
        assert dict(maps.attrs) == {"axes": "sample, step, row, column"}
        assert dict(sums.attrs) == {"axes": "sample, row, column", "steps": 5}
        np.testing.assert_array_equal(maps[1, 2], made_up(HEADER, LAYERS[1], 1)[2])
        np.testing.assert_array_equal(sums[2], made_up_sum(LAYERS[1], 2))
        digest = hashlib.sha256(made_up(HEADER, LAYERS[1], 1).tobytes()).hexdigest()
        assert file["layers/001_conv1/sam_digest"][1] == digest.encode()
        digest = hashlib.sha256(made_up_sum(LAYERS[1], 2).tobytes()).hexdigest()
        assert file["layers/001_conv1/sum_digest"][2] == digest.encode()


def test_the_example_in_the_documentation_runs(path: Path) -> None:
    _, snippet = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    ran = subprocess.run([sys.executable, "-c", snippet], cwd=path.parent, capture_output=True, text=True, check=True)
    assert ran.stdout == f"{made_up_sum(LAYERS[1], 0)} [0 2 5] (3, 2, 3)\n"


@pytest.mark.parametrize("header", [HEADER, SUMS_ALONE], ids=["steps", "sums alone"])
def test_the_content_digest_is_what_the_documentation_says(tmp_path: Path, header: MapHeader) -> None:
    about = {
        "/": {
            "format": "spike-maps",
            "schema_version": 5,
            "method": "sam",
            "raster_digest": "cd" * 32,
            "gamma": (0.5).hex(),
            "variant": "paper",
            "include_current": True,
            "T": 6,
            "stepped": header.stepped,
        },
        "/layers/000_input/sum": {"axes": "sample, row, column", "steps": 4},
        "/layers/001_conv1/sum": {"axes": "sample, row, column", "steps": 5},
    }
    tables = [f"samples/{name}" for name in ("index", "label", "prediction")]
    digests = [f"layers/{name}/sum_digest" for name in ("000_input", "001_conv1")]
    if header.stepped:
        about |= {f"/layers/{name}/sam": {"axes": "sample, step, row, column"} for name in ("000_input", "001_conv1")}
        digests = ["steps", *digests, *(f"layers/{name}/sam_digest" for name in ("000_input", "001_conv1"))]
    tables += digests
    text = json.dumps(about, sort_keys=True, separators=(",", ":")).encode()
    with h5py.File(write(tmp_path / "sam.h5", header)) as file:
        expected = hashlib.sha256(text + b"".join(file[table][:].tobytes() for table in tables)).hexdigest()
        assert file.attrs["content_digest"] == expected


@pytest.mark.parametrize(
    ("method", "parameters", "about"),
    [
        (
            "relevance",
            {"network_sha256": "ef" * 32, "rule": "signed"},
            {"raster_digest": "cd" * 32, "network_sha256": "ef" * 32, "rule": "signed"},
        ),
        ("grad-cam", {}, {"network_sha256": "cd" * 32}),
        ("snn-grad-cam", {"seed": 3}, {"network_sha256": "cd" * 32, "seed": 3}),
        ("rise", {"seed": 3}, {"network_sha256": "cd" * 32, "seed": 3}),
        ("of-ones-own", {"depth": 2, "bent": True}, {"network_sha256": "cd" * 32, "depth": 2, "bent": True}),
    ],
)
def test_other_methods_say_what_they_have(
    tmp_path: Path, method: str, parameters: dict[str, object], about: dict[str, object]
) -> None:
    layer = MapLayer("conv2", 2, (4, 5), 1)
    source = "raster_digest" if "raster_digest" in about else "network_sha256"
    header = MapHeader(method, "cd" * 32, parameters, 1, (layer,), (0,), 3, source)
    path = write(tmp_path / "maps.h5", header)
    with h5py.File(path) as file:
        common = {"format": "spike-maps", "schema_version": 5, "complete": True, "method": method, "T": 1, "stepped": 3}
        assert {name: value for name, value in file.attrs.items() if name != "content_digest"} == common | about
        np.testing.assert_array_equal(file[f"layers/002_conv2/{method}"][1], made_up(header, layer, 1))
    with MapReader(path) as maps:
        assert maps.header == header
        np.testing.assert_array_equal(maps["conv2"][2], made_up(header, layer, 2))


def test_single_pixel_and_step(tmp_path: Path) -> None:
    header = replace(HEADER, timesteps=1, layers=(MapLayer("conv4", 4, (1, 1), 1),), steps=(0,))
    with MapReader(write(tmp_path / "sam.h5", header)) as maps:
        np.testing.assert_array_equal(maps["conv4"].sum[2], made_up_sum(header.layers[0], 2))
        np.testing.assert_array_equal(maps["conv4"][1], made_up(header, header.layers[0], 1))


def test_large_maps_are_stored_in_chunks_of_whole_steps(tmp_path: Path) -> None:
    # 480 kB a step: chunks of 2, 2 and 1
    header = replace(HEADER, timesteps=5, layers=(MapLayer("conv1", 1, (400, 300), 5),), steps=tuple(range(5)))
    path = write(tmp_path / "sam.h5", header)
    with h5py.File(path) as file:
        assert file["layers/001_conv1/sam"].chunks == (1, 2, 400, 300)
    with MapReader(path) as maps:
        np.testing.assert_array_equal(maps["conv1"][1], made_up(header, header.layers[0], 1))


def test_large_sums_are_stored_in_chunks_of_whole_rows(tmp_path: Path) -> None:
    # 4 kB a row: chunks of 256, 256 and 88
    header = replace(SUMS_ALONE, layers=(MapLayer("conv1", 1, (600, 1024), 5),))
    path = write(tmp_path / "sam.h5", header)
    with h5py.File(path) as file:
        assert file["layers/001_conv1/sum"].chunks == (1, 256, 1024)
    with MapReader(path) as maps:
        np.testing.assert_array_equal(maps["conv1"].sum[1], made_up_sum(header.layers[0], 1))


def write_one(path: Path, error: type[Exception] | None = None) -> None:
    with writing_maps(path, HEADER, SAMPLES, overwrite=True) as maps:
        write_sample(maps, HEADER, 1)
        if error is not None:
            raise error


def test_maps_that_do_not_fit_the_header_are_refused(tmp_path: Path) -> None:
    sums = {layer.name: made_up_sum(layer, 0) for layer in LAYERS}
    made = {layer.name: made_up(HEADER, layer, 0) for layer in LAYERS}
    for wrong_sums, wrong_maps, message in (
        (sums, {**made, "conv1": made["conv1"][0]}, r"sam: maps of shape \(2, 3\), the header says \(3, 2, 3\)"),
        ({**sums, "conv1": sums["conv1"][0]}, made, r"sum: maps of shape \(3,\), the header says \(2, 3\)"),
    ):
        with (
            pytest.raises(ValueError, match=f"/layers/001_conv1/{message}"),
            writing_maps(tmp_path / "sam.h5", HEADER, SAMPLES) as maps,
        ):
            maps.add(0, [make_map_record(HEADER, 0, 0, wrong_sums, wrong_maps)])
        assert not any(tmp_path.iterdir())


def test_no_more_samples_can_have_maps_step_by_step_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="4 of 3 samples have maps step by step"):
        write(tmp_path / "sam.h5", replace(HEADER, stepped=4))
    assert not any(tmp_path.iterdir())


def test_a_failure_leaves_nothing_behind_and_the_old_file_in_place(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError):
        write_one(path, ZeroDivisionError)
    with pytest.raises(ValueError, match="1 samples were written, expected 3"):
        write_one(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["sam.h5"]


@pytest.mark.parametrize("kilobytes", [0, 2, 6, 8])
def test_full_disk(tmp_path: Path, kilobytes: int) -> None:
    """HDF5 itself would crash the process; the limit on file sizes stands in for the disk."""
    script = (
        f"from tests.recordings.test_maps import write; write(__import__('pathlib').Path({str(tmp_path / 'sam.h5')!r}))"
    )
    limit = kilobytes << 10
    done = subprocess.run(
        [sys.executable, "-B", "-c", script],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"spikesam.recordings.errors.InputError: {tmp_path}/sam.h5: cannot be written (File too large); "
        "free space or choose another out"
    )
    assert not list(tmp_path.iterdir())


def test_target_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match=r"file/sam.h5: cannot be written \(.*\); free space or choose another name"):
        write(tmp_path / "file" / "sam.h5")


def test_a_layer_is_read_sample_by_sample(tmp_path: Path) -> None:
    header = replace(HEADER, stepped=3)
    expected = np.stack([made_up(header, LAYERS[1], sample) for sample in range(3)])
    with MapReader(write(tmp_path / "sam.h5", header)) as maps:
        layer = maps["conv1"]
        assert (len(layer), layer.name, layer.shape, layer.steps_that_matter) == (3, "conv1", (2, 3), 5)
        np.testing.assert_array_equal(maps[1][-1], expected[2])
        np.testing.assert_array_equal(layer[1:], expected[1:].swapaxes(0, 1))
        np.testing.assert_array_equal(np.stack(list(layer)), expected)
        assert layer.sum.dtype == np.float32
        np.testing.assert_array_equal(layer.sum, [made_up_sum(LAYERS[1], sample) for sample in range(3)])


def test_unknown_layer_or_sample(path: Path) -> None:
    with MapReader(path) as maps:
        with pytest.raises(InputError, match=r"sam.h5: no layer 'fc1'; did you mean input or conv1\?"):
            maps["fc1"]
        with pytest.raises(InputError, match="no sample 3, expected 0 to 2"):
            maps["input"][3]
        with pytest.raises(InputError, match="got sample 1.5, expected a whole number or a slice"):
            maps["input"][1.5]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("method", "Cam", "method is 'Cam', expected a name such as 'grad-cam'"),
        ("method", "sum", "method is 'sum', expected a name such as 'grad-cam'"),
        ("parameters", KERNEL | {"gamma": -1.0}, "gamma is -1.0, expected a finite number"),
        ("parameters", KERNEL | {"gamma": np.inf}, "gamma is inf, expected a finite number"),
        ("parameters", KERNEL | {"gamma": [0.5]}, "gamma is of type list, expected str, bool, int or float"),
        ("parameters", {"stepped": 1}, "parameter 'stepped', expected a name such as 'gamma' that means nothing else"),
        ("parameters", {"raster_digest": "cd"}, "parameter 'raster_digest', expected a name such as 'gamma'"),
        ("parameters", {"a b": 1}, "parameter 'a b', expected a name such as 'gamma'"),
        ("parameters", {f"p{i}": i for i in range(33)}, "33 parameters, expected at most 32"),
        ("source", "abc", "raster_digest is 'abc', expected 64 hexadecimal digits"),
        ("timesteps", 0, "timesteps is 0, expected 1"),
        ("layers", (MapLayer("a b", 1, (2, 2), 1),), "layer 'a b': expected a name such as 'conv1'"),
        ("layers", (MapLayer("conv1", 1, (1 << 20, 1 << 20), 1),), "1048576×1048576, expected 1 to"),
        ("layers", (MapLayer("conv1", 1, (4096, 4097), 1),), "maps of 4096×4097, expected 1 to 16,777,216 pixels"),
        (
            "layers",
            tuple(MapLayer(f"conv{number}", number, (4096, 4096), 1) for number in range(1, 18)),
            "maps of one sample: 1,140,850,688 bytes in 17 layers, expected at most 1,073,741,824; choose fewer layers",
        ),
        ("layers", (MapLayer("conv1", 1, (2, 2), 7),), "layer 'conv1': 7 steps matter, expected 1 to 6"),
        ("steps", (0, 6), r"steps are \[0, 6\], expected ascending numbers of 0 to 5"),
        ("steps", (-1, 2), r"steps are \[-1, 2\], expected ascending numbers of 0 to 5"),
        ("steps", (2, 1), r"steps are \[2, 1\], expected ascending"),
        ("steps", (1, 1), r"steps are \[1, 1\], expected ascending"),
        ("steps", (), "2 samples have maps of 0 steps, expected both above 0 or neither"),
        ("stepped", 0, "0 samples have maps of 3 steps, expected both above 0 or neither"),
        ("stepped", -1, "-1 samples have maps of 3 steps"),
        ("layers", LAYERS[::-1], "layers are 1 conv1, 0 input; expected different names, and ascending numbers"),
        ("layers", (MapLayer("conv1", -1, (2, 2), 1),), "layers are -1 conv1; expected different names, and ascending"),
    ],
)
def test_meaningless_header(field: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SUMS_ALONE if field == "layers" else HEADER, **{field: value})


def delete_samples(file: h5py.File) -> None:
    del file["samples/label"]


def store(file: h5py.File, maps: NDArray[np.float32], **options: object) -> None:
    """Replace maps step by step."""
    replace_dataset(file, "layers/001_conv1/sam", maps, {"axes": "sample, step, row, column"}, **options)


def store_sums(file: h5py.File, sums: NDArray[np.float32], **options: object) -> None:
    about = {"axes": "sample, row, column", "steps": 5}
    replace_dataset(file, "layers/001_conv1/sum", sums, about, **options)


def store_steps(file: h5py.File, steps: object, dtype: str = "<i4", **options: object) -> None:
    values = np.array(steps, dtype)
    storage = {"chunks": (len(values),) if values.ndim and len(values) else True, "maxshape": None, "fletcher32": True}
    replace_dataset(file, "steps", values, {}, **(storage | options))


def replace_dataset(
    file: h5py.File, name: str, values: NDArray[Any], about: dict[str, object], **options: object
) -> None:
    del file[name]
    file.create_dataset(name, data=values, **options).attrs.update(about)


def link_elsewhere(file: h5py.File) -> None:
    del file["layers/001_conv1"]
    file["layers/001_conv1"] = h5py.ExternalLink("other.h5", "/secret")


def alias(file: h5py.File) -> None:
    del file["layers/001_conv1/sam"]
    file["layers/001_conv1/sam"] = h5py.SoftLink("/layers/000_input/sam")


def element(name: str, value: object) -> Callable[[h5py.File], None]:
    def damage(file: h5py.File) -> None:
        file[name][1] = value

    return damage


CHANGED = "/@content_digest: .* its texts, tables or attributes were changed after it was written"
FILTERS = {"chunks": (1, 3, 2, 3), "compression": "gzip", "fletcher32": True}
SUM_FILTERS = FILTERS | {"chunks": (1, 2, 3)}
DAMAGE: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "a raster": (
        lambda file: file.attrs.update(format="spike-raster"),
        "is a raster, expected a file of maps",
    ),
    "another version": (lambda file: file.attrs.update(schema_version=4), "/@schema_version: 4, expected 5"),
    "no method": (lambda file: file.attrs.pop("method"), "/@method: missing"),
    "unknown method": (lambda file: file.attrs.update(method="cam\n"), r"/@method: 'cam\\n', expected a name such as"),
    "sums as a method": (lambda file: file.attrs.update(method="sum"), "/@method: 'sum', expected a name such as"),
    "another method": (lambda file: file.attrs.update(method="grad-cam"), "/layers/000_input/grad-cam: missing"),
    "no source": (lambda file: file.attrs.pop("raster_digest"), "/: does not say what was explained, expected text"),
    "a source that is no text": (lambda file: file.attrs.update(raster_digest=1), "/: does not say what was explained"),
    "a short source": (lambda file: file.attrs.update(raster_digest="cd"), "raster_digest is 'cd', expected 64 hexa"),
    "maps of another method": (
        lambda file: file.attrs.update(method="grad-cam", network_sha256="cd" * 32),
        "/layers/000_input/grad-cam: missing",
    ),
    "unfinished": (lambda file: file.attrs.update(complete=np.bool_(False)), "/@complete: False, expected True"),
    "no gamma": (lambda file: file.attrs.pop("gamma"), CHANGED),
    "one more parameter": (lambda file: file.attrs.update(more=1), CHANGED),
    "an array as a parameter": (lambda file: file.attrs.update(gamma=[0.5, 1.0]), r"/@gamma: float64 of shape \(2,\)"),
    "a parameter in bytes": (
        lambda file: file.attrs.update(gamma=np.uint8(1)),
        "/@gamma: uint8, expected one of text, ",
    ),
    "a gamma below zero": (lambda file: file.attrs.update(gamma=-0.5), "gamma is -0.5, expected a finite number"),
    "very many attributes": (
        lambda file: file.attrs.update({f"more{number}": 1 for number in range(64)}),
        "/: 75 attributes, expected at most 64",
    ),
    "meaningless gamma": (lambda file: file.attrs.update(gamma=np.nan), "gamma is nan, expected a finite number"),
    "gamma as text": (lambda file: file.attrs.update(gamma="0.5"), CHANGED),
    "no steps that matter": (
        lambda file: file["layers/001_conv1/sum"].attrs.update(steps=0),
        "layer 'conv1': 0 steps matter, expected 1 to 6",
    ),
    "no number": (
        lambda file: file.move("layers/001_conv1", "layers/conv1"),
        "/layers/conv1: an unknown path, expected a layer such as 001_conv1",
    ),
    "more besides": (lambda file: file.create_group("extra"), "/extra: an unknown path"),
    "no labels": (delete_samples, "/samples/label: missing"),
    "external link": (link_elsewhere, "/layers/001_conv1: an external link, expected a hard link"),
    "soft link": (alias, "/layers/001_conv1/sam: a soft link, expected a hard link"),
    "wrong dtype": (
        lambda file: store(file, np.zeros((2, 3, 2, 3)), **FILTERS),
        "/layers/001_conv1/sam: dtype float64",
    ),
    "wrong steps": (
        lambda file: store(file, np.zeros((2, 4, 2, 3), np.float32), **FILTERS),
        r"/layers/001_conv1/sam: shape \(2, 4, 2, 3\), expected shape \(2, 3, 2, 3\)",
    ),
    "no time": (
        lambda file: store(file, np.zeros((2, 2, 3), np.float32), chunks=True),
        r"/layers/001_conv1/sam: shape \(2, 2, 3\), expected shape \(2, 3, 2, 3\)",
    ),
    "sums of wrong dtype": (
        lambda file: store_sums(file, np.zeros((3, 2, 3)), **SUM_FILTERS),
        "/layers/001_conv1/sum: dtype float64",
    ),
    "sums of too few samples": (
        lambda file: store_sums(file, np.zeros((2, 2, 3), np.float32), **SUM_FILTERS),
        r"/layers/001_conv1/sum: shape \(2, 2, 3\), expected shape \(3, 2, 3\)",
    ),
    "sums of another size than maps": (
        lambda file: store_sums(file, np.zeros((3, 3, 2), np.float32), **SUM_FILTERS | {"chunks": (1, 3, 2)}),
        r"/layers/001_conv1/sam: shape \(2, 3, 2, 3\), expected shape \(2, 3, 3, 2\)",
    ),
    "sums with time": (
        lambda file: store_sums(file, np.zeros((3, 2, 2, 3), np.float32), chunks=True),
        r"/layers/001_conv1/sum: shape \(3, 2, 2, 3\), expected \(N, H, W\)",
    ),
    "no sums": (lambda file: file.pop("layers/001_conv1/sum"), "/layers/001_conv1/sum: missing"),
    "no digests of sums": (
        lambda file: file.pop("layers/001_conv1/sum_digest"),
        "/layers/001_conv1/sum_digest: missing",
    ),
    "sums of other axes": (
        lambda file: file["layers/001_conv1/sum"].attrs.update(axes="sample, column, row"),
        "/layers/001_conv1/sum@axes: unknown axes, expected 'sample, row, column'",
    ),
    "no steps": (lambda file: file.pop("steps"), "/steps: missing"),
    "steps of nothing": (
        lambda file: file.attrs.update(stepped=0),
        "/steps: an unknown path",
    ),
    "empty steps": (lambda file: store_steps(file, [], maxshape=(None,)), "number of steps is 0, expected 1"),
    "steps in a table": (
        lambda file: store_steps(file, [[0, 2, 5]], chunks=(1, 3)),
        r"/steps: shape \(1, 3\), expected \(S,\)",
    ),
    "a step alone": (lambda file: store_steps(file, 2, chunks=None, fletcher32=None), "/steps: contiguous storage"),
    "long steps": (lambda file: store_steps(file, [0, 2, 5], "<i8"), "/steps: dtype int64, expected dtype int32"),
    "steps as numbers": (lambda file: store_steps(file, [0, 2, 5], "<f4"), "/steps: dtype float32"),
    "descending steps": (lambda file: store_steps(file, [0, 5, 2]), r"steps are \[0, 5, 2\], expected ascending"),
    "equal steps": (lambda file: store_steps(file, [0, 5, 5]), r"steps are \[0, 5, 5\], expected ascending"),
    "late steps": (lambda file: store_steps(file, [0, 2, 6]), r"steps are \[0, 2, 6\], expected .* 0 to 5"),
    "steps before the first": (lambda file: store_steps(file, [-1, 2, 5]), r"steps are \[-1, 2, 5\], expected"),
    "more steps than maps": (
        lambda file: store_steps(file, [0, 2, 4, 5]),
        r"/layers/000_input/sam: shape \(2, 3, 4, 5\), expected shape \(2, 4, 4, 5\)",
    ),
    "other steps": (lambda file: store_steps(file, [0, 3, 5]), CHANGED),
    "steps of more samples than there are": (
        lambda file: file.attrs.update(stepped=4),
        "/@stepped: 4, expected 0 to 3, the number of samples",
    ),
    "steps of fewer than no samples": (lambda file: file.attrs.update(stepped=-1), "/@stepped: -1, expected 0 to 3"),
    "steps of other samples": (
        lambda file: file.attrs.update(stepped=1),
        r"/layers/000_input/sam: shape \(2, 3, 4, 5\), expected shape \(1, 3, 4, 5\)",
    ),
    "no number of samples with steps": (lambda file: file.attrs.pop("stepped"), "/@stepped: missing"),
    "no filters": (
        lambda file: store(file, np.zeros((2, 3, 2, 3), np.float32), chunks=(1, 3, 2, 3)),
        "filters none, expected filters deflate [+] fletcher32",
    ),
    "another gamma": (lambda file: file.attrs.update(gamma=0.25), CHANGED),
    "another variant": (lambda file: file.attrs.update(variant="authors-code"), CHANGED),
    "another raster": (lambda file: file.attrs.update(raster_digest="ab" * 32), CHANGED),
    "other steps that matter": (lambda file: file["layers/001_conv1/sum"].attrs.update(steps=4), CHANGED),
    "another sample": (element("samples/index", 5), CHANGED),
    "another label": (element("samples/label", 1), CHANGED),
    "another prediction": (element("samples/prediction", 2), CHANGED),
    "another digest": (element("layers/001_conv1/sam_digest", b"0" * 64), CHANGED),
    "another digest of a sum": (element("layers/001_conv1/sum_digest", b"0" * 64), CHANGED),
    "no digests": (lambda file: file.pop("layers/001_conv1/sam_digest"), "/layers/001_conv1/sam_digest: missing"),
    "contiguous": (lambda file: store(file, np.zeros((2, 3, 2, 3), np.float32)), "contiguous storage"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_refused_on_opening(path: Path, case: str) -> None:
    damage, message = DAMAGE[case]
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(RasterError, match=f"^{path}: .*{message}"):
        MapReader(path)


def test_attributes_that_other_programs_add_are_ignored(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs.update({"CLASS": np.bytes_("GROUP"), "_NCProperties": "version=2", "TITLE": ""})
    with MapReader(path) as maps:
        assert maps.header == HEADER


@pytest.mark.parametrize("value", [np.nan, np.inf, -1])
def test_impossible_values_are_refused_on_reading(path: Path, value: float) -> None:
    with h5py.File(path, "r+") as file:
        file["layers/001_conv1/sam"][1, 2, 0, 0] = value
        file["layers/000_input/sum"][2, 3, 0] = value
    with MapReader(path) as maps:
        with pytest.raises(RasterError, match=r"sam\[1\]: negative or not finite, expected numbers ≥ 0"):
            maps["conv1"][1]
        with pytest.raises(RasterError, match=r"sum\[2\]: negative or not finite, expected numbers ≥ 0"):
            _ = maps["input"].sum


def test_other_maps_are_refused_on_reading_and_by_validate(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(path, "r+") as file:
        file["layers/001_conv1/sam"][1, 2, 0, 0] += 1
    message = f"{path}: /layers/001_conv1/sam_digest[1]: "
    with MapReader(path) as maps:
        assert maps["conv1"][0].any()
        with pytest.raises(RasterError, match=re.escape(message) + ".*, the SHA-256 of its maps"):
            maps["conv1"][1]
    assert main([str(path)]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert shown.err.startswith(f"error: {message}")


def test_a_bomb_is_not_unpacked(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["layers/001_conv1/sam"].id.write_direct_chunk((1, 0, 0, 0), encode(bytes(100_000)))
        file["layers/001_conv1/sum"].id.write_direct_chunk((1, 0, 0), encode(bytes(100_000)))
    with MapReader(path) as maps:
        with pytest.raises(RasterError, match="does not hold exactly 72 bytes"):
            maps["conv1"][1]
        with pytest.raises(RasterError, match="does not hold exactly 24 bytes"):
            maps.read_sum(maps.layer("conv1"), 1)


def test_validate_describes_maps(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(path)]) == 0
    shown = capsys.readouterr().out
    assert "sam maps of 3 samples, T = 6, gamma 0.5, include_current True, variant paper" in shown
    assert "; sums, and 3 of 6 steps of 2 samples\n" in shown
    assert "conv1  2 × 3                  5" in shown
    assert shown.endswith(f"raster digest {'cd' * 32}\nvalid\n\n")


def test_what_is_kept_in_words() -> None:
    assert SUMS_ALONE.kept == "sums alone"
    assert replace(HEADER, steps=tuple(range(6)), stepped=1).kept == "sums, and all steps of 1 sample"


def test_flipped_bytes_are_refused_on_reading(path: Path) -> None:
    for name in ("sam", "sum"):
        with h5py.File(path) as file:
            chunk = file[f"layers/000_input/{name}"].id.get_chunk_info(1)
        content = bytearray(path.read_bytes())
        content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
        path.write_bytes(content)
    with MapReader(path) as maps:
        with pytest.raises(RasterError, match=r"/layers/000_input/sam\[1\]: damaged: its"):
            maps["input"][1]
        with pytest.raises(RasterError, match=r"/layers/000_input/sum\[1\]: damaged: its"):
            _ = maps["input"].sum


@pytest.mark.parametrize("length", [0, 100, 3000])
def test_truncated_file(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(RasterError, match="cannot be read as HDF5"):
        MapReader(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match=r"no such file, expected a finished file of maps \(sam.h5\)"):
        MapReader(tmp_path / "none.h5")
