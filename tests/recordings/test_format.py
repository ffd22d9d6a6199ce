"""What is in a file, read by plain h5py and as the documentation says, and in files of earlier
programs.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spikesam.recordings import schema
from spikesam.recordings.digests import raster_digest
from spikesam.recordings.errors import RasterError
from spikesam.recordings.file_format import file_format, open_recording
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.schema import MapHeader, MapLayer
from spikesam.recordings.raster.reader import RasterReader
from tests.recordings import maps, rasters
from tests.recordings.conftest import MAPS, RASTER, Kind
from tests.recordings.rasters import HEADER, record, spikes

DOCUMENT = Path(schema.__file__).with_name("FORMAT.md")
GROUPS = ("000_input", "001_conv1", "002_fc1")


def plain(values: h5py.AttributeManager) -> dict[str, Any]:
    return {
        name: value.tolist() if hasattr(value, "tolist") else value
        for name, value in values.items()
    }


def test_plain_h5py_reads_a_raster(tmp_path: Path) -> None:
    with h5py.File(record(tmp_path, 20)) as file:
        attributes = plain(file.attrs)
        assert json.loads(attributes.pop("versions"))["h5py"] == h5py.__version__
        lengths = {
            name: len(attributes.pop(name))
            for name in ("run_uuid", "raster_digest", "content_digest")
        }
        assert lengths == {"run_uuid": 36, "raster_digest": 64, "content_digest": 64}
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
        assert (packed.shape, packed.dtype, packed.compression, packed.fletcher32) == (
            (20, 6, 8),
            "u1",
            "gzip",
            True,
        )
        assert plain(packed.attrs) == {
            "shape": [3, 4, 5],
            "axes": "sample, step, bits of (channel, row, column)",
            "kind": "conv",
            "threshold": 4096.0,
            "leak": 0.99,
        }
        expected, bits = spikes(HEADER, HEADER.layers[1], 17), np.unpackbits(packed[17], axis=-1)
        assert np.array_equal(bits[:, :60].reshape(expected.shape), expected)
        assert not bits[:, 60:].any()
        digest = hashlib.sha256(packed[17].tobytes()).hexdigest()
        assert file["layers/001_conv1/digest"][17] == digest.encode()
        assert file["layers/001_conv1/digest"].dtype == "S64"


def test_plain_h5py_reads_maps(tmp_path: Path) -> None:
    layer = maps.LAYERS[1]
    with h5py.File(maps.write(tmp_path / "sam.h5")) as file:
        attributes = plain(file.attrs)
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
        stepped, sums = file["layers/001_conv1/sam"], file["layers/001_conv1/sum"]
        assert (stepped.shape, sums.shape) == (
            (2, 3, 2, 3),
            (3, 2, 3),
        ) and stepped.dtype == sums.dtype == np.float32
        assert plain(stepped.attrs) == {"axes": "sample, step, row, column"}
        assert plain(sums.attrs) == {"axes": "sample, row, column", "steps": 5}
        for name, row, made in (
            ("sam", 1, maps.made_up(maps.HEADER, layer, 1)),
            ("sum", 2, maps.made_up_sum(layer, 2)),
        ):
            np.testing.assert_array_equal(file[f"layers/001_conv1/{name}"][row], made)
            digest = hashlib.sha256(made.tobytes()).hexdigest()
            assert file[f"layers/001_conv1/{name}_digest"][row] == digest.encode()
    with h5py.File(maps.write(tmp_path / "sums.h5", maps.SUMS_ALONE)) as file:
        assert set(file) == {"samples", "layers"}
        assert set(file["layers/001_conv1"]) == {"sum", "sum_digest"}


@pytest.mark.parametrize(
    ("write", "values", "tables"),
    [
        (
            lambda path: rasters.GOLDEN,
            ["readout", *(f"layers/{group}/spikes" for group in GROUPS)],
            [
                "readout",
                *(f"layers/{group}/{name}" for group in GROUPS for name in ("count", "digest")),
            ],
        ),
        (
            maps.write,
            [f"layers/{group}/{name}" for group in GROUPS[:2] for name in ("sum", "sam")],
            [
                "steps",
                *(
                    f"layers/{group}/{name}_digest"
                    for name in ("sum", "sam")
                    for group in GROUPS[:2]
                ),
            ],
        ),
        (
            lambda path: maps.write(path, maps.SUMS_ALONE),
            [f"layers/{group}/sum" for group in GROUPS[:2]],
            [f"layers/{group}/sum_digest" for group in GROUPS[:2]],
        ),
    ],
    ids=["raster", "maps", "sums alone"],
)
def test_the_content_digest_is_what_the_documentation_says(
    tmp_path: Path, write: Callable[[Path], Path], values: Sequence[str], tables: Sequence[str]
) -> None:
    with h5py.File(write(tmp_path / "new.h5")) as file:
        about = {path: plain(file[path].attrs) for path in ("/", *(f"/{path}" for path in values))}
        found = about["/"].pop("content_digest")
        del about["/"]["complete"]
        for each in about.values():
            each.update(
                {name: value.hex() for name, value in each.items() if isinstance(value, float)}
            )
        text = json.dumps(about, sort_keys=True, separators=(",", ":")).encode()
        every = [*(f"samples/{name}" for name in ("index", "label", "prediction")), *tables]
        assert (
            found
            == hashlib.sha256(
                text + b"".join(file[path][:].tobytes() for path in every)
            ).hexdigest()
        )


def test_raster_digest_goes_layer_by_layer_then_sample_by_sample() -> None:
    raw = [hashlib.sha256(bytes([number])) for number in range(4)]
    hexadecimal = [
        np.array([digest.hexdigest() for digest in pair], "S64") for pair in (raw[:2], raw[2:])
    ]
    assert (
        raster_digest(hexadecimal)
        == hashlib.sha256(b"".join(digest.digest() for digest in raw)).hexdigest()
    )


def test_the_raster_digest_depends_on_spikes_alone(tmp_path: Path) -> None:
    other = replace(
        HEADER, backend="lava", device="two cores", dt=1.0, config="{}", dataset="renamed"
    )
    written = [(HEADER, 5), (other, 16), (replace(HEADER, seed=8), 5)]
    digests = []
    for number, (header, size) in enumerate(written):
        with RasterReader(record(tmp_path / str(number), 20, header, size)) as raster:
            digests.append(raster.raster_digest)
    assert digests[0] == digests[1] != digests[2]


def test_golden_files_stay_readable(kind: Kind) -> None:
    with open_recording(kind.golden) as found:
        assert isinstance(found, kind.reader)
        found.verify()
        if isinstance(found, RasterReader):
            assert (
                found.raster_digest
                == "32972015b193ed7fdf0b64f9dcca1d6846a44fc6ab17cc711e5ad5e5101d029c"
            )
            assert found.header == replace(HEADER, config='{"golden": true}')
            assert found.samples.label.tolist() == [0, 1, 2]
            assert np.array_equal(found.spikes("conv1")[:, 2], spikes(HEADER, HEADER.layers[1], 2))
        else:
            assert (
                found.content_digest
                == "ddbeb0a71e4150b065273e08add1b871b552e092f063573f64d32a534c261106"
            )
            assert found.header == maps.HEADER
            assert found.samples.label.tolist() == [0, -1, 2]
            np.testing.assert_array_equal(
                found["conv1"][1], maps.made_up(maps.HEADER, maps.LAYERS[1], 1)
            )


def test_the_examples_in_the_documentation_run(tmp_path: Path) -> None:
    record(tmp_path, 2)
    maps.write(tmp_path / "sam.h5")
    snippets = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets[0].split("with", 1)[1].splitlines()) <= 10
    printed = [
        subprocess.run(
            [sys.executable, "-c", each], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        for each in snippets
    ]
    counts = spikes(HEADER, HEADER.layers[2], 0).sum(axis=(1, 2, 3))
    assert printed[0].splitlines()[-1] == f"002_fc1 (6, 7, 1, 1) spikes per step: {counts}"
    assert printed[1] == f"{maps.made_up_sum(maps.LAYERS[1], 0)} [0 2 5] (3, 2, 3)\n"


@pytest.mark.parametrize(
    ("method", "source", "parameters"),
    [
        ("relevance", "raster_digest", {"network_sha256": "ef" * 32, "rule": "signed"}),
        ("grad-cam", "network_sha256", {}),
        ("snn-grad-cam", "network_sha256", {"seed": 3}),
        ("of-ones-own", "network_sha256", {"depth": 2, "bent": True, "device": "cpu"}),
    ],
)
def test_maps_of_other_methods(
    tmp_path: Path, method: str, source: Any, parameters: dict[str, Any]
) -> None:
    layer = MapLayer("conv2", 2, (4, 5), 1)
    header = MapHeader(method, "cd" * 32, parameters, 1, (layer,), (0,), 3, source)
    path = maps.write(tmp_path / "maps.h5", header)
    with h5py.File(path) as file:
        common = {
            "format": "spike-maps",
            "schema_version": 5,
            "complete": True,
            "method": method,
            "T": 1,
            "stepped": 3,
        }
        found = {name: value for name, value in file.attrs.items() if name != "content_digest"}
        assert found == common | {source: "cd" * 32} | parameters
        np.testing.assert_array_equal(
            file[f"layers/002_conv2/{method}"][1], maps.made_up(header, layer, 1)
        )
    with MapReader(path) as opened:
        assert opened.header == header
        np.testing.assert_array_equal(opened["conv2"][2], maps.made_up(header, layer, 2))


def test_a_file_says_which_kind_it_is(kind: Kind, tmp_path: Path) -> None:
    assert (
        file_format(kind.golden)
        == file_format(kind.golden.read_bytes())
        == kind.header.STAMP.format
    )
    assert {RASTER.header.STAMP.format, MAPS.header.STAMP.format} == {"spike-raster", "spike-maps"}
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["format"] = "other"
    (tmp_path / "text.h5").write_text("spike-raster")
    for name, message in (
        ("other", "/@format: 'other', expected spike-raster or spike-maps, a raster"),
        ("text", "is not HDF5, expected"),
    ):
        with pytest.raises(RasterError, match=rf"{name}\.h5: {message}"):
            file_format(tmp_path / f"{name}.h5")
