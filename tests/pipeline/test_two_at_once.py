"""Two commands on one --out, a killed one, a full disk: what lies there is whole, and nothing else does."""

import importlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from spikesam.backends.event.kernels.layer import compile_kernels
from spikesam.pipeline import explain
from spikesam.pipeline.maps.sam import compile_kernel, spike_activation_map
from spikesam.pipeline.training.fit import convolution_type
from spikesam.pipeline.training.fused import compile_bntt_lif
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.arrays import write_raster
from spikesam.recordings.raster.reader import RasterReader
from tests.pipeline.small_networks import class_folders, small_ann, small_checkpoint
from tests.pipeline.test_refusals import SMALL
from tests.recordings.rasters import record

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


pytestmark = [pytest.mark.alone, pytest.mark.filterwarnings("ignore")]
TRAINING = """
[training]
batch_size = 4
selection = 0.4

[conversion]
timesteps = 8
calibration = 2
"""
SHORT = ("--samples", "2")
COMMANDS = {
    "run": ("run", "--checkpoint", "snn.safetensors", "--data", "images", "--out", "OUT", *SHORT),
    "train": ("train", "--config", "small.toml", "--training.epochs", "1", "--out", "OUT"),
    "convert": ("convert", "ann.safetensors", "--config", "small.toml", "--out", "OUT", *SHORT),
    "export": ("export", "snn.safetensors", "--data", "images", "--seeds", "1", "--out", "OUT", *SHORT),
    "nir": ("export", "snn.safetensors", "--data", "images", "--nir", "OUT/x.nir", "--out", "OUT", *SHORT),
    "explain": ("explain", "raster.h5", "--out", "OUT/sam.h5", "--figures", "OUT/figures"),
    "gradcam": ("explain", "snn.safetensors", "--data", "images", "--out", "OUT/maps.h5", *SHORT),
    "paper": ("paper.__main__", "fig3", "--config", "paper.toml", "--images", "3", "--out", "OUT"),
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with networks of both kinds, images, a raster and configurations; kernels are compiled."""
    folder = tmp_path_factory.mktemp("full")
    small_checkpoint(folder / "snn.safetensors")
    small_ann(folder / "ann.safetensors")
    class_folders(folder / "images", per_class=4)
    (folder / "small.toml").write_text(f"{SMALL}{TRAINING}")
    (folder / "paper.toml").write_text(f'{SMALL}[paper]\ncheckpoint = "snn.safetensors"\nann = "ann.safetensors"\n')
    record(folder, 2)
    for precision in ("float32", "fixed"):
        compile_kernels(precision)  # their cache is a file, too
    compile_kernel()
    compile_bntt_lif(convolution_type("auto"))
    return folder


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("command", "size", "file", "kept"),
    [
        ("run", 0, "cannot hold 2.3 kB of prepared pictures", ""),
        ("run", 3500, "network.safetensors", ""),
        ("run", 10_000, "cannot write there", ""),
        ("run", 26_000, "cannot write there", ""),
        (
            "run",
            80_000,
            "overview.png",
            "00000000.range config.toml job.json network.safetensors pictures.zip raster.h5 sam.h5 summary.json",
        ),
        ("train", 0, "config.toml", ""),
        ("train", 1000, "best.ckpt", "config.toml metrics.csv"),
        ("convert", 3500, "checkpoint.safetensors", ""),
        ("convert", 6000, "accuracy.png", "accuracy.csv checkpoint.safetensors"),
        ("export", 3500, "network.float32.safetensors", ""),
        ("nir", 50_000, "x.nir", ""),
        ("explain", 5000, "sam.h5", ""),
        ("explain", 15_000, "overview.png", "sam.h5"),
        ("gradcam", 5000, "maps.h5", ""),
        ("paper", 4000, "cannot write there", ""),
        ("paper", 30_000, "arrays.npz", "network.safetensors raster.h5 stage.json"),
    ],
)
def test_one_line_and_no_part_of_a_file(
    workplace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    size: int,
    file: str,
    kept: str,
) -> None:
    monkeypatch.chdir(workplace)
    name, *arguments = (word.replace("OUT", str(tmp_path / "out")) for word in COMMANDS[command])
    main = importlib.import_module(name if command == "paper" else f"spikesam.pipeline.{name}").main
    with pytest.raises(SystemExit) as stop, no_file_beyond(size):
        main(arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2, error
    assert [line for line in error.splitlines() if line.startswith("error: ")] == error.splitlines()[-1:]
    assert file in error and "File too large" in error
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "tensorboard"]
    assert sorted(path.name for path in left) == kept.split()
    assert kept or command == "train" or not any(tmp_path.iterdir())
