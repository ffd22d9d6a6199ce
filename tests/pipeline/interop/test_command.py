"""The command that exports recordings: what it says and refuses, and data of NIR, which the library
reads.
"""

import shutil
import subprocess
import sys
from types import SimpleNamespace
from unittest.mock import Mock

import h5py
import numpy as np
import pytest

from spikesam.pipeline import export
from spikesam.pipeline.interop import exporter
from spikesam.recordings.new_hdf5 import Target
from tests.recordings.rasters import HEADER, record, spikes

nir = pytest.importorskip("nir", reason="nir is not installed; pip install 'spikesam[nir]'")


def test_it_says_what_is_written_before_and_after(raster, tmp_path, capsys):
    export.main([str(raster), str(tmp_path / "out.nir"), "--samples", "1"])
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(
        f"{raster} -> {tmp_path / 'out.nir'}: 1 sample, 6 steps, layers input, conv1, fc1, about "
    )
    assert last.startswith(f"{tmp_path / 'out.nir'}  ")


def test_help_names_every_format(capsys):
    with pytest.raises(SystemExit):
        export.main(["--help"])
    text = capsys.readouterr().out
    for suffix, each in exporter.FORMATS.items():
        assert f"NAME{suffix}" in text
        assert each.title in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "TARGET: got none, expected the file to write, such as raster.nwb"),
        (
            ("out.csv",),
            "out.csv: got a name that ends in '.csv', expected .nwb, .zarr, .nir or .vectors",
        ),
        (
            ("out",),
            "out: got a name that ends in 'nothing', expected .nwb, .zarr, .nir or .vectors",
        ),
        (("out.nir", "--layers", "conv2"), "no layer 'conv2'; did you mean conv1?"),
        (
            ("out.nir", "--samples", "6"),
            "--samples: got '6', expected at least one of the 5 samples of ",
        ),
        (
            ("out.nir", "--samples", "3:3"),
            "--samples: got '3:3', expected at least one of the 5 samples of ",
        ),
        (
            ("out.nir", "--samples", "0"),
            "--samples: got '0', expected at least one of the 5 samples of ",
        ),
        (
            ("out.nir", "--samples", "1,2"),
            "--samples: got '1,2', expected how many, such as 8, or positions from : to",
        ),
        (("out.nir", "--samples", "-1"), "--samples"),
        (("out.nir", "--seeds", "3"), "--seeds is for a checkpoint, and "),
        (("out.nir", "--out", "runs"), "--out is for a checkpoint, and "),
        (("out.h5", "--samples", "2"), "--samples is for a recording, and "),
        (("out.h5", "--layers", "conv1"), "--layers is for a recording, and "),
    ],
    ids=str,
)
def test_refusals(raster, tmp_path, refused, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(export.main, raster, *arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_file_is_replaced_if_asked_but_neither_the_recording_nor_a_folder(
    raster, tmp_path, refused
):
    out = tmp_path / "out.nir"
    out.write_text("mine")
    line = refused(export.main, raster, out)
    assert f"{out}: already exists; choose another name, or replace it with --overwrite" in line
    assert out.read_text() == "mine"
    export.main([str(raster), str(out), "--overwrite"])
    assert len(nir.read_data(out).nodes) == 3
    path = record(tmp_path, 2).rename(tmp_path / "raster.nir")
    before = path.read_bytes()
    assert "is an input; choose another name" in refused(export.main, path, path, "--overwrite")
    assert path.read_bytes() == before
    (tmp_path / "folder.nir").mkdir()
    line = refused(export.main, raster, tmp_path / "folder.nir", "--overwrite")
    assert "a directory, expected the name of a file" in line


def test_a_disk_that_is_too_small_or_fails_leaves_nothing(raster, tmp_path, refused, monkeypatch):
    with monkeypatch.context() as small:
        small.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
        message = refused(export.main, raster, tmp_path / "new" / "out.nir")
    assert "1.0 kB free, expected about" in message
    assert "fewer --samples or --layers" in message
    monkeypatch.setattr(Target, "check", Mock(side_effect=OSError(28, "No space left on device")))
    assert "out.nir: cannot be written (No space left on device)" in refused(
        export.main, raster, tmp_path / "out.nir"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_maps_go_to_zarr_alone_and_what_is_no_recording_nowhere(maps, tmp_path, refused):
    message = refused(export.main, maps, tmp_path / "out.nir")
    assert "sam.h5: is a file of maps, expected a raster; .zarr takes maps" in message
    assert "no such file" in refused(export.main, tmp_path / "raster.h5", tmp_path / "out.nir")
    (tmp_path / "raster.h5").write_text("no HDF5")
    assert "is not HDF5, expected" in refused(
        export.main, tmp_path / "raster.h5", tmp_path / "out.nir"
    )


@pytest.mark.parametrize(
    ("suffix", "library", "extra"),
    [(".nwb", "pynwb", "nwb"), (".zarr", "zarr", "zarr"), (".zarr", "xarray", "zarr")],
)
def test_a_library_that_is_missing(raster, tmp_path, refused, monkeypatch, suffix, library, extra):
    for name in [name for name in sys.modules if name.startswith("spikesam.pipeline.interop.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    message = refused(export.main, raster, tmp_path / f"out{suffix}")
    assert message.endswith(f"not installed; pip install 'spikesam[{extra}]'")


def test_what_is_for_recordings_or_data_of_nir_is_refused_of_checkpoints(refused):
    assert "a checkpoint's network goes to NIR with --nir FILE" in refused(
        export.main, "cluttered-digits", "out.nir"
    )
    assert "--layers is for a recording" in refused(
        export.main, "cluttered-digits", "--layers", "conv1"
    )
    for option, value in (("dt", "0.5"), ("rounding", "up")):
        line = refused(
            export.main, "cluttered-digits", f"--{option}", value, "--data", "no-such-data"
        )
        assert f"--{option} is for data of NIR that become a raster, NAME.h5" in line
    for text in ("0", "2:4", "many"):
        line = refused(export.main, "cluttered-digits", "--samples", text)
        assert f"--samples: got {text!r}, expected for a checkpoint how many" in line


def test_one_library_is_enough_for_one_format(raster, tmp_path):
    script = (
        "import sys; sys.modules.update(dict.fromkeys(('xarray', 'dask', 'zarr', 'pynwb', 'hdmf', "
        "'torch', 'lava')))\n"
        f"from spikesam.pipeline.export import main; main([{str(raster)!r}, "
        f"{str(tmp_path / 'out.nir')!r}])"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert len(nir.read_data(tmp_path / "out.nir").nodes) == 3


def test_nir_reads_every_spike(raster, tmp_path):
    export.main([str(raster), str(tmp_path / "out.nir")])
    data = nir.read_data(tmp_path / "out.nir")
    assert isinstance(data, nir.NIRGraphData)
    assert list(data.nodes) == ["conv1.neuron", "fc1.neuron", "input"]
    for name, layer in zip(("input", "conv1.neuron", "fc1.neuron"), HEADER.layers, strict=True):
        found = data.nodes[name].observables["spikes"]
        expected = np.stack([spikes(HEADER, layer, at) for at in range(5)])
        assert (found.dt, found.data.dtype) == (0.002, bool)
        assert np.array_equal(found.data, expected.reshape(5, 6, -1))


def test_it_is_laid_out_as_the_library_does(raster, tmp_path):
    """What the library writes of what it read has the same datasets and types."""
    export.main([str(raster), str(tmp_path / "out.nir")])
    nir.write_data(tmp_path / "again.nir", nir.read_data(tmp_path / "out.nir"))
    found: list[dict[str, object]] = []
    for name in ("out.nir", "again.nir"):
        with h5py.File(tmp_path / name) as file:
            content: dict[str, object] = {"/": file.attrs["__type__"]}
            file["nodes"].visititems(
                lambda path, each, content=content: content.update(
                    {
                        path: (
                            each.attrs.get("__type__"),
                            getattr(each, "dtype", None),
                            getattr(each, "shape", None),
                        )
                    }
                )
            )
            found.append(content)
    assert found[0] == found[1]


def test_nodes_are_those_of_the_graph(tmp_path, raster):
    spikesam = pytest.importorskip("spikesam")
    from spikesam.pipeline.interop._nir_data import node_name

    network = spikesam.load("cluttered-digits").network
    with spikesam.open_raster(raster) as opened:
        assert [node_name(layer) for layer in opened.layers] == [
            "input",
            "conv1.neuron",
            "fc1.neuron",
        ]
    assert {"input", "conv1.neuron", "fc1.neuron"} <= set(spikesam.to_nir(network).nodes)


def test_some_samples_and_layers(raster, tmp_path):
    export.main([str(raster), str(tmp_path / "out.nir"), "--samples", "2", "--layers", "conv1"])
    data = nir.read_data(tmp_path / "out.nir")
    assert {name: node.observables["spikes"].shape for name, node in data.nodes.items()} == {
        "conv1.neuron": (2, 6, 60)
    }
    with h5py.File(tmp_path / "out.nir") as file:
        assert file["samples/index"][:].tolist() == [0, 3]
        assert file["nodes/conv1.neuron/observables/spikes"].attrs["shape"].tolist() == [3, 4, 5]
