"""Two commands on one --out, and a command that is killed: what lies there is whole, and nothing else does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from spikesam.pipeline import explain
from spikesam.pipeline.maps.sam import spike_activation_map
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.arrays import write_raster
from spikesam.recordings.raster.reader import RasterReader
from tests.pipeline.small_networks import class_folders, small_checkpoint

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
SPIKES = np.random.default_rng(0).random((150, 16, 2, 32, 32)) < 0.2  # maps of 10 MB, all kept: about a second
DEADLINE = 120.0  # seconds until a test gives up


def start(name: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"spikesam.pipeline.{name}", *map(str, arguments)]
    quiet = os.environ | {"SPIKESAM_DEBUG": "0"}
    return subprocess.Popen(command, cwd=ROOT, env=quiet, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ends(*processes: subprocess.Popen[str]) -> list[tuple[int, str]]:
    """Exit codes and what was said on standard error, the best code first."""
    errors = [process.communicate(timeout=DEADLINE)[1] for process in processes]
    return sorted((process.returncode, error) for process, error in zip(processes, errors, strict=True))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raster(tmp_path_factory.mktemp("raster") / "raster.h5", {"a": SPIKES})


def assert_whole(path: Path) -> None:
    with MapReader(path) as maps:
        last = spike_activation_map(SPIKES[149:].swapaxes(0, 1), 0.5)[:, 0]
        np.testing.assert_allclose(maps["a"].sum[149], last.sum(axis=0), rtol=1e-6)
        assert maps["a"].sum.any(axis=(1, 2)).all()
        maps.verify()


def test_two_explain(raster: Path, tmp_path: Path) -> None:
    (tmp_path / "sam.h5.tmp").write_text("mine")
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "sam.h5.lock").symlink_to("precious")
    first, (code, error) = ends(*(start("explain", raster, "--out", tmp_path / "sam.h5") for _ in range(2)))
    assert first == (0, "")
    assert code == 2 and error.startswith(f"error: {tmp_path}/sam.h5: ") and error.count("\n") == 1
    assert "another run is writing it" in error or "already exists" in error
    assert_whole(tmp_path / "sam.h5")
    assert names(tmp_path) == ["precious", "sam.h5", "sam.h5.lock", "sam.h5.tmp"]
    assert [(tmp_path / name).read_text() for name in ("precious", "sam.h5.tmp")] == ["precious", "mine"]


def test_two_runs(tmp_path: Path) -> None:
    checkpoint, out = small_checkpoint(tmp_path / "snn.safetensors"), tmp_path / "out"
    images = class_folders(tmp_path / "images", per_class=2)
    run = ("run", "--checkpoint", checkpoint, "--data", images, "--samples", 4, "--figures", 0, "--out", out)
    (code, _), (refused, error) = ends(*(start(*run) for _ in range(2)))
    assert (code, refused) == (0, 2)
    assert "another run is writing here" in error or "holds files already" in error
    made = ("config.toml", "network.safetensors", "pictures.zip", "raster.h5", "report.html", "sam.h5", "summary.json")
    assert names(out) == [*made]
    with RasterReader(out / "raster.h5") as recorded:
        recorded.verify()


def test_what_a_killed_explain_left_goes_with_the_next(raster: Path, tmp_path: Path) -> None:
    process = start("explain", raster, "--out", tmp_path / "sam.h5", "--steps", "all")
    until = time.monotonic() + DEADLINE
    while not list(tmp_path.glob(".spikesam-*.tmp")) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert ends(process)[0][0] == -signal.SIGKILL
    assert "sam.h5" not in names(tmp_path) and len(names(tmp_path)) == 2  # half a file, and its lock
    explain.main([str(raster), "--out", str(tmp_path / "sam.h5")])
    assert_whole(tmp_path / "sam.h5")
    assert names(tmp_path) == ["sam.h5"]
