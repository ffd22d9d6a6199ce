"""torch runs no library of the current folder: cuSPARSELt, which comes with its wheels, would look
for one there.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from spikesam.common.child import python
from tests.hostile import hostile_folder, hostile_library

pytestmark = [
    pytest.mark.skipif(
        which("cc") is None, reason="needs a C compiler for a library that leaves a mark"
    ),
    pytest.mark.skipif(
        sys.platform != "linux", reason="libraries have such names and paths on Linux"
    ),
]

DATA = "--data {0}/images --out {1}"
COMMANDS = {
    "run": (
        "run --backend torch --checkpoint {0}/snn.safetensors --samples 1 --figures 0 --no-report "
    )
    + DATA,
    "explain": "explain {0}/snn.safetensors --method occlusion --samples 1 " + DATA,
    "train": "train --config {0}/small.toml --training.epochs 1 --data.source {0}/images --out {1}",
    "convert": "convert {0}/ann.safetensors --config {0}/small.toml --samples 1 " + DATA,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run_no_library_of_the_current_folder(
    command: str, workplace: Path, tmp_path: Path
) -> None:
    hostile = hostile_folder(tmp_path)
    words = COMMANDS[command].format(workplace, tmp_path / "out").split()
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


@pytest.mark.parametrize(
    "forbidden", [False, True], ids=["a folder of its own", "one folder for all threads"]
)
def test_torch_loads_nothing_of_the_current_folder(
    forbidden: bool, names: set[str], tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / name).write_bytes(hostile_library(tmp_path / "mark"))
    unshare = (
        "import ctypes; ctypes.CDLL = type('CDLL', (ctypes.CDLL,), {'unshare': lambda *_: -1})\n"
    )
    code = f"{unshare * forbidden}import os, spikesam.recordings, torch; print(os.getcwd())"
    done = subprocess.run(
        python(code), cwd=tmp_path / "here", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'here'}\n"), done.stderr
    assert not (tmp_path / "mark").exists()
