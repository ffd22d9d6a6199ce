"""Offline explanation: the maps of a raster file, where torch and lava do not exist, and what is refused."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.explain import SpikeActivationMaps, explain_raster, main
from pipeline.maps.method import write_maps
from pipeline.maps.sam import spike_activation_map
from recordings.errors import InputError
from recordings.maps.reader import MapReader
from recordings.raster.arrays import write_raster
from recordings.raster.reader import RasterReader
from recordings.raster.schema import LayerSpec
from tests.recordings.rasters import HEADER, record


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return record(tmp_path / "run", 5)


def test_maps_are_those_of_the_definition(raster: Path, tmp_path: Path) -> None:
    with RasterReader(raster) as reader:
        explained = explain_raster(reader, tmp_path / "sam.h5", gamma=0.3, include_current=False)
        assert [layer.name for layer in explained] == ["input", "conv1"]  # fc1 has no place in the image
        with MapReader(tmp_path / "sam.h5") as maps:
            header = maps.header
            assert (header.method, header.source) == ("sam", reader.raster_digest)
            assert header.parameters == {"gamma": 0.3, "variant": "paper", "include_current": False}
            np.testing.assert_array_equal(maps.samples.index, reader.samples.index)
            np.testing.assert_array_equal(maps.samples.label, reader.samples.label)
            np.testing.assert_array_equal(maps.predictions, reader.predictions)
            for layer in explained:
                expected = spike_activation_map(reader.spikes(layer), 0.3, include_current=False)
                stored = np.stack([maps[layer.name][sample] for sample in range(5)], axis=1)
                np.testing.assert_allclose(stored, expected, rtol=1e-6)


def test_threads_change_neither_order_nor_maps(raster: Path, tmp_path: Path) -> None:
    with RasterReader(raster) as reader:
        method = SpikeActivationMaps(reader, reader.layers[:2])
        for workers in (1, 3):
            write_maps(method, tmp_path / f"{workers}.h5", workers=workers)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "3.h5").read_bytes()


def test_progress_sees_every_sample(raster: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def watch(samples: Sequence[int]) -> Iterator[int]:
        for sample in samples:
            seen.append(sample)
            yield sample

    with RasterReader(raster) as reader:
        explain_raster(reader, tmp_path / "sam.h5", track_samples=watch)
    assert seen == [0, 1, 2, 3, 4]


def test_chosen_layers_come_in_order_of_depth(raster: Path, tmp_path: Path) -> None:
    with RasterReader(raster) as reader:
        explain_raster(reader, tmp_path / "both.h5", layers=["conv1", "0"])
        explain_raster(reader, tmp_path / "one.h5", layers=["1", "conv1"])
    with MapReader(tmp_path / "both.h5") as both, MapReader(tmp_path / "one.h5") as one:
        assert list(both) == ["input", "conv1"]
        assert list(one) == ["conv1"]


def test_dense_layers_have_no_maps(raster: Path, tmp_path: Path) -> None:
    with (
        RasterReader(raster) as reader,
        pytest.raises(InputError, match="layer 'fc1' is dense.*choose from input, conv1"),
    ):
        explain_raster(reader, tmp_path / "sam.h5", layers=["fc1"])
    header = replace(HEADER, layers=(LayerSpec("fc1", 1, (7, 1, 1), "dense", 1.0, 1.0),))
    with (
        RasterReader(record(tmp_path / "dense", 2, header)) as reader,
        pytest.raises(InputError, match="dense layers only"),
    ):
        explain_raster(reader, tmp_path / "sam.h5")
    assert not (tmp_path / "sam.h5").exists()


def test_a_damaged_raster_leaves_no_maps(raster: Path, tmp_path: Path) -> None:
    with RasterReader(raster) as reader:
        layer, content = reader.layer("conv1"), bytearray(raster.read_bytes())
        (chunk,) = reader.stored_chunks(layer, 3)
    content[content.find(chunk) + len(chunk) // 2] ^= 0xFF
    raster.write_bytes(content)
    with RasterReader(raster) as reader, pytest.raises(InputError, match=r"/layers/001_conv1/spikes\[3\]"):
        explain_raster(reader, tmp_path / "sam.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def run(*arguments: object, code: int = 0) -> None:
    """The command in this process; it must end with exit code `code`."""
    with pytest.raises(SystemExit) if code else nullcontext() as stop:
        main([str(argument) for argument in arguments])
    assert stop is None or stop.value.code == code


def test_command_says_what_it_wrote(raster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(raster, "--out", tmp_path / "sam.h5", "--gamma", 0.2, "--variant", "authors-code", "--layers", "conv1", "input")
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{tmp_path}/sam.h5  ")
    assert printed.out.endswith("maps of 5 samples, 6 steps, layers input, conv1\n")
    assert printed.err == ""
    with MapReader(tmp_path / "sam.h5") as maps:
        assert maps.header.parameters == {"gamma": 0.2, "variant": "authors-code", "include_current": True}


def test_command_draws_the_first_samples(raster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(raster, "--out", tmp_path / "sam.h5", "--figures", tmp_path / "figures")
    names = ["overview", "spike_rates", "raster_conv1", "sam_000", "sam_001", "sam_002", "sam_003"]
    assert capsys.readouterr().out.splitlines()[1:] == [f"{tmp_path}/figures/{name}.png" for name in names]
    assert all((tmp_path / "figures" / f"{name}.png").stat().st_size > 1000 for name in names)


def test_a_raster_of_unknown_origin_is_explained_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spikes = np.random.default_rng(0).random((3, 6, 2, 4, 5)) < 0.3
    raster = write_raster(tmp_path / "mine.h5", {"a": spikes, "b": spikes[:, :, :1]}, labels=[2, -1, 0])
    run(raster, "--out", tmp_path / "sam.h5", "--figures", tmp_path / "figures")
    assert "maps of 3 samples, 6 steps, layers a, b" in capsys.readouterr().out
    assert (tmp_path / "figures" / "sam_002.png").stat().st_size > 1000
    with MapReader(tmp_path / "sam.h5") as maps:
        assert maps.predictions.tolist() == [-1, -1, -1]
        expected = spike_activation_map(spikes.swapaxes(0, 1), 0.5)
        np.testing.assert_allclose(maps["a"][:], expected, rtol=1e-6)
        np.testing.assert_allclose(maps["a"].sum, expected.sum(axis=0), rtol=1e-6)  # without delay every step matters


def test_a_raster_in_memory_is_explained_into_memory(raster: Path, tmp_path: Path) -> None:
    explained = io.BytesIO()
    with RasterReader(raster.read_bytes()) as in_memory:
        write_maps(SpikeActivationMaps(in_memory, in_memory.layers[:2]), explained, workers=2)
    with RasterReader(raster) as on_disk:
        explain_raster(on_disk, tmp_path / "sam.h5")
    with MapReader(explained) as found, MapReader(tmp_path / "sam.h5") as expected:
        assert found.header == expected.header
        for layer in expected:
            np.testing.assert_array_equal(found[layer][:], expected[layer][:])


def test_nothing_is_overwritten_unless_asked(raster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sam.h5"
    out.write_text("precious")
    run(raster, "--out", out, code=2)
    assert (
        capsys.readouterr().err
        == f"error: {out}: already exists; choose another --out, or replace it with --overwrite\n"
    )
    assert out.read_text() == "precious"
    run(raster, "--out", out, "--overwrite")
    with MapReader(out) as maps:
        assert maps.n_samples == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--gamma", "-1"), "gamma: got -1.0, expected a finite number ≥ 0"),
        (("--gamma", "much"), "--gamma"),
        (("--layers", "conv7"), "no layer 'conv7'; did you mean conv1?"),
        (("--layers", "fc1"), "layer 'fc1' is dense"),
        (("--variant", "theirs"), "'theirs'"),
        (("--variant", "authors-code", "--no-include-current"), "always counts the current spike"),
        (("--figures", "."), ".: already exists; choose another --figures"),
        (("--figures", f"{__file__}/new"), "test_explain.py is a file, expected the name of a folder for --figures"),
        (("--gama", "1"), "unknown option --gama; did you mean --gamma?"),
    ],
)
def test_bad_usage_is_one_line(
    raster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    run(raster, "--out", tmp_path / "sam.h5", *arguments, code=2)
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1
    assert not (tmp_path / "sam.h5").exists()


def test_bad_files_are_one_line(raster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = raster.read_bytes()
    for arguments, message in (
        ((tmp_path / "none.h5", "--out", tmp_path / "sam.h5"), "none.h5: no such file, expected a raster file"),
        (
            (raster, "--out", raster, "--overwrite"),
            "raster.h5: is what the maps are to be made from; choose another --out",
        ),
        ((raster, "--out", tmp_path, "--overwrite"), ": a directory, expected the name of a file"),
        ((raster, "--out", "/dev/null", "--overwrite"), "/dev/null: not a regular file"),
        ((raster, "--out", raster / "sam.h5"), "sam.h5: cannot be written ("),
    ):
        run(*arguments, code=2)
        printed = capsys.readouterr()
        assert message in printed.err and printed.err.count("\n") == 1
    assert raster.read_bytes() == before


WITHOUT = """
import importlib.abc, runpy, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "lightning", "snntorch", "lava"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
sys.argv[0] = "explain"
runpy.run_module("pipeline.explain", run_name="__main__", alter_sys=True)
"""


def test_works_where_torch_and_lava_cannot_be_imported(raster: Path, tmp_path: Path) -> None:
    arguments = [str(raster), "--out", str(tmp_path / "sam.h5"), "--figures", str(tmp_path / "figures")]
    done = subprocess.run([sys.executable, "-c", WITHOUT, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    with MapReader(tmp_path / "sam.h5") as maps:
        assert maps["conv1"][4].any()
