"""torch runs no library of the current folder: cuSPARSELt, which comes with its wheels, would look for one there."""

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from spikesam.recordings.child import python
from tests.hostile import hostile_folder, hostile_library
from tests.pipeline.small_networks import class_folders, small_ann, small_checkpoint

pytestmark = [
    pytest.mark.skipif(which("cc") is None, reason="needs a C compiler for a library that leaves a mark"),
    pytest.mark.skipif(sys.platform != "linux", reason="libraries have such names and paths on Linux"),
]

CONFIG = """
[data]
source = "images"
height = 16
width = 24
[network]
layers = [4, "P", 6, "P4", "D8"]
timesteps = 4
[training]
epochs = 1
batch_size = 8
[conversion]
timesteps = 16
calibration = 8
"""
DATA = "--data {0}/images/val --out {0}/out"
COMMANDS = {
    "run": "run --backend torch --checkpoint {0}/snn.safetensors --samples 1 --figures 0 --no-report " + DATA,
    "explain": "explain {0}/snn.safetensors --method occlusion --samples 1 " + DATA,
    "train": "train --config {0}/config.toml --out {0}/out",
    "convert": "convert {0}/ann.safetensors --config {0}/config.toml --samples 1 --out {0}/out",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run_no_library_of_the_current_folder(command: str, tmp_path: Path) -> None:
    hostile = hostile_folder(tmp_path)
    for part in ("train", "val"):
        class_folders(tmp_path / "images" / part, per_class=4)
    small_checkpoint(tmp_path / "snn.safetensors")
    small_ann(tmp_path / "ann.safetensors")
    (tmp_path / "config.toml").write_text(CONFIG.replace('"images"', f'"{tmp_path}/images"'))
    words = COMMANDS[command].format(tmp_path).split()
    code = f"import sys; from spikesam.pipeline.cli.main import main; main({words!r})"
    done = subprocess.run(python(code), cwd=hostile, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "mark").exists()


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Whatever the loader looks for in the current folder, or in "/", while torch is imported."""
    folder = tmp_path_factory.mktemp("log")
    environment = {**os.environ, "LD_DEBUG": "libs", "LD_DEBUG_OUTPUT": str(folder / "log")}
    subprocess.run(python("import spikesam.recordings, torch"), env=environment, check=True)
    log = "".join(path.read_text(errors="replace") for path in folder.iterdir())
    return {"libcuda.so.1", *re.findall(r"trying file=([^/\s]\S*)", log)}


@pytest.mark.parametrize("forbidden", [False, True], ids=["a folder of its own", "one folder for all threads"])
def test_torch_loads_nothing_of_the_current_folder(forbidden: bool, names: set[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / name).write_bytes(hostile_library(tmp_path / "mark"))
    unshare = "import ctypes; ctypes.CDLL = type('CDLL', (ctypes.CDLL,), {'unshare': lambda *_: -1})\n"
    code = f"{unshare * forbidden}import os, spikesam.recordings, torch; print(os.getcwd())"
    done = subprocess.run(python(code), cwd=tmp_path / "here", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'here'}\n"), done.stderr
    assert not (tmp_path / "mark").exists()
