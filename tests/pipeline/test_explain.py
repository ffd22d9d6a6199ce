"""Offline explanation: the maps of a raster file, where torch and lava do not exist, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

import spikesam
from spikesam.pipeline.explain import main
from spikesam.pipeline.maps.sam import spike_activation_map
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.arrays import write_raster
from tests.recordings.rasters import record


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return record(tmp_path / "run", 5)


def run(*arguments: object, code: int = 0) -> None:
    """The command in this process; it must end with exit code `code`."""
    with pytest.raises(SystemExit) if code else nullcontext() as stop:
        main([str(argument) for argument in arguments])
    assert stop is None or stop.value.code == code


def test_command_says_what_it_wrote(raster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(raster, "--out", tmp_path / "sam.h5", "--gamma", 0.2, "--variant", "authors-code", "--layers", "conv1", "input")
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{tmp_path}/sam.h5  ")
    assert printed.out.endswith("maps of 5 samples, 6 steps, layers input, conv1 (sums, and all steps of 4 samples)\n")
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


WITHOUT = """
import importlib.abc, runpy, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "lightning", "snntorch", "lava"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
sys.argv[0] = "explain"
runpy.run_module("spikesam.pipeline.explain", run_name="__main__", alter_sys=True)
"""


def test_works_where_torch_and_lava_cannot_be_imported(raster: Path, tmp_path: Path) -> None:
    arguments = [str(raster), "--out", str(tmp_path / "sam.h5"), "--figures", str(tmp_path / "figures")]
    done = subprocess.run([sys.executable, "-c", WITHOUT, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    with MapReader(tmp_path / "sam.h5") as maps:
        assert maps["conv1"].sum[4].any()


def test_a_folder_is_enough_and_maps_of_another_gamma_replace_those_of_this_method(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_raster(tmp_path / "raster.h5", {"conv1": np.eye(4).reshape(1, 4, 1, 2, 2)})
    run(tmp_path)
    run(tmp_path, "--gamma", "0.2")
    assert capsys.readouterr().out.count(f"{tmp_path / 'sam.h5'}  ") == 2
    for gamma in (0.1, 0.3):  # as a cell of a notebook that is run twice
        with spikesam.explain(tmp_path, gamma=gamma) as maps:
            assert maps.header.parameters["gamma"] == gamma
    with pytest.raises(spikesam.InputError, match="already exists"):
        spikesam.explain(tmp_path, tmp_path / "sam.h5")
    (tmp_path / "sam.h5").write_bytes(b"mine")
    with pytest.raises(spikesam.InputError, match="already exists"):
        spikesam.explain(path)
    assert (tmp_path / "sam.h5").read_bytes() == b"mine"


def test_maps_of_a_network_need_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    run("cluttered-digits", "--method", "occlusion", code=2)
    assert capsys.readouterr().err.startswith("error: --out is needed")
