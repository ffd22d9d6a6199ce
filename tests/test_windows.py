"""Reading, writing, simulating, recording and explaining work where modules of POSIX are missing, as on Windows."""

import subprocess
import sys
from pathlib import Path

import pytest

import spikesam

MISSING = """
import os, signal, sys
sys.modules.update(dict.fromkeys(("fcntl", "resource", "grp", "pwd")))
for name in ("O_NOFOLLOW", "O_CLOEXEC", "pwrite", "fchmod", "posix_fallocate"):
    delattr(os, name)
for name in ("SIGPROF", "ITIMER_PROF", "setitimer", "getitimer"):
    delattr(signal, name)
os.supports_fd.discard(os.utime)
"""
# filelock is loaded first, since Windows has its own way to lock. WINDOWS switches on what is done there alone, such as
# closing a file before it is renamed.
WINDOWS = f"""
from filelock import lock_descriptor
{MISSING}
import spikesam.recordings.disk
spikesam.recordings.disk.WINDOWS = True
"""
# Children, which open files of unknown origin, lack the same.
IN_CHILDREN = """
from spikesam.recordings import child
child._LAUNCH = child._LAUNCH.replace("exec(code)", {missing!r} + "exec(code)")
"""
SCRIPT = """
import numpy as np
import spikesam

rng = np.random.default_rng(0)
spikes = rng.random((8, 2, 3, 6, 6)) < 0.3
assert spikesam.sam(spikes).shape == (8, 2, 6, 6)

path = spikesam.write_raster("made.h5", {"conv1": spikes.swapaxes(0, 1)})
spikesam.write_raster("made.h5", {"conv1": spikes.swapaxes(0, 1)}, overwrite=True)
raster = spikesam.open_raster("made.h5")
assert (raster["conv1"][1] == spikes[:, 1]).all()
with open("cut.h5", "wb") as file:
    file.write(open("made.h5", "rb").read()[:2000])
try:
    spikesam.open_raster("cut.h5")
except spikesam.RasterError as error:
    assert "cut.h5" in str(error)
else:
    raise AssertionError("a damaged file was opened")

for seed in (0, 1):
    raster = spikesam.simulate("cluttered-digits", samples=2, seed=seed, backend="event", out=f"run{seed}")
in_memory = spikesam.simulate("cluttered-digits", samples=2, seed=1, backend="event")
assert raster.raster_digest == in_memory.raster_digest
maps = spikesam.explain(raster)
assert maps["conv2"].sum.shape == (2, 20, 20)
print(spikesam.report("run1"), raster.raster_digest)
"""
RECORDING = """
import torch
import spikesam

class Neuron(torch.nn.Module):
    def forward(self, x):
        return (x > 0.5).float()

model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), Neuron(), torch.nn.Flatten(), torch.nn.Linear(72, 2)).eval()
with torch.no_grad(), spikesam.record(model, "recorded", layers=["1"]) as recording:
    recording.finish(model(torch.rand(2, 1, 8, 8)))
print(list(spikesam.open_raster("recorded/raster.h5")))
"""


def run(missing: str, script: str, folder: Path) -> str:
    code = missing + IN_CHILDREN.format(missing=missing) + script
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("missing", [WINDOWS, MISSING], ids=["Windows", "a system without locks"])
def test_spikes_are_written_read_simulated_explained_and_shown(missing: str, tmp_path: Path) -> None:
    page, digest = run(missing, SCRIPT, tmp_path).split()
    assert (tmp_path / page).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert spikesam.simulate("cluttered-digits", samples=2, seed=1, backend="event").raster_digest == digest
    left = {path.name for path in tmp_path.rglob("*") if path.name.startswith(".") or path.name.endswith(".tmp")}
    assert left == set()


def test_a_torch_network_is_recorded(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    assert run(WINDOWS, RECORDING, tmp_path) == "['neuron_1']\n"
