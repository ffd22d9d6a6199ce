"""Commands whose disk fills up: what lies there is whole, and nothing else does."""

import importlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from spikesam.backends.event.kernels.layer import compile_kernels
from spikesam.pipeline.maps.sam import compile_kernel
from spikesam.pipeline.training.trainable import compile_operations
from tests.recordings.rasters import GOLDEN

pytestmark = [pytest.mark.alone, pytest.mark.filterwarnings("ignore")]
SNN = "snn.safetensors --data images --samples 2"
COMMANDS = {
    "run": f"run --checkpoint {SNN} --out OUT",
    "train": "train --config small.toml --training.epochs 1 --out OUT",
    "convert": (
        "convert ann.safetensors --config small.toml --conversion.calibration 2 --samples 2 "
        "--out OUT"
    ),
    "export": f"export {SNN} --seeds 1 --out OUT",
    "nir": f"export {SNN} --nir OUT/x.nir --out OUT",
    "explain": f"explain {GOLDEN} --out OUT/sam.h5 --figures OUT/figures",
    "gradcam": f"explain {SNN} --out OUT/maps.h5",
    "paper": "paper.__main__ fig3 --config paper.toml --images 3 --out OUT",
}


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile kernels before, since their cache is a file, too."""
    for precision in ("float32", "fixed"):
        compile_kernels(precision)
    compile_kernel()
    compile_operations(torch.float32)


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
            "00000000.range config.toml job.json network.safetensors pictures.zip raster.h5 sam.h5 "
            "summary.json",
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
    name, *arguments = (
        word.replace("OUT", str(tmp_path / "out")) for word in COMMANDS[command].split()
    )
    main = importlib.import_module(name if command == "paper" else f"spikesam.pipeline.{name}").main
    with pytest.raises(SystemExit) as stop, no_file_beyond(size):
        main(arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2, error
    assert [
        line for line in error.splitlines() if line.startswith("error: ")
    ] == error.splitlines()[-1:]
    assert file in error and "File too large" in error
    left = [
        path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "tensorboard"
    ]
    assert sorted(path.name for path in left) == kept.split()
    assert kept or command == "train" or not any(tmp_path.iterdir())
