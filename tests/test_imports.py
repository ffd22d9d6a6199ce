"""What works where torch, Lava, or the modules of POSIX that Windows lacks, cannot be imported."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from itertools import chain
from pathlib import Path

import pytest

import spikesam
from spikesam.pipeline.cli.main import COMMANDS

HEAVY = ("torch", "torchvision", "lightning", "snntorch", "captum", "lava")
MODULES = tuple(f"spikesam.pipeline.{name}" for name in COMMANDS)


def run_python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


def test_recordings_and_explanations_import_where_torch_and_lava_cannot_be():
    done = run_python(
        # None there makes an import fail
        f"import sys; sys.modules.update(dict.fromkeys({HEAVY}))\n"
        "from spikesam.recordings.raster import arrays, reader\n"
        "import spikesam.pipeline.maps.sam, spikesam.pipeline.explain\n"
        "import spikesam.pipeline.measures.localisation, spikesam.pipeline.measures.statistics\n"
        f"print([name for name in {HEAVY} if sys.modules[name]])"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_help_does_not_wait_for_torch():
    done = run_python(
        "import sys, runpy\n"
        f"for command in {MODULES}:\n"
        "    sys.argv = [command, '--help']\n"
        "    try:\n        runpy.run_module(command, run_name='__main__', alter_sys=True)\n"
        "    except SystemExit as stop:\n        assert not stop.code\n"
        f"    assert not sys.modules.keys() & {set(HEAVY)}, command"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: ") == len(MODULES)
    script = (
        "import sys; from spikesam.pipeline.cli.main import main; main(['--help']); "
        "print('torch' in sys.modules)"
    )
    assert run_python(script).stdout.endswith("\nFalse\n")


def test_a_run_takes_the_time_of_what_it_uses_alone():
    """Each of these takes a second or more where a run needs a part of it, or none."""
    unused = (
        "torch",
        "sklearn",
        "skimage",
        "scipy.stats",
        "matplotlib.pyplot",
        "networkx",
        "torchvision",
    )
    done = run_python(
        "import sys\n"
        "from spikesam.backends.available import make_backend\n"
        "from spikesam.pipeline.images.datasets.handwriting import handwriting\n"
        "import spikesam.pipeline.drawing.figures, spikesam.pipeline.maps.localisation\n"
        "import spikesam.pipeline.page.write, spikesam.pipeline.engine.simulate\n"
        "make_backend('auto', 'cpu'), handwriting('val')\n"
        f"print([name for name in {unused} if name in sys.modules])"
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_the_page_on_architecture_lists_the_layers_in_the_order_that_is_checked():
    root = Path(__file__).parents[1]
    contracts = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"]
    layers = next(
        contract["layers"]
        for contract in contracts
        if contract.get("containers") == ["spikesam.pipeline"]
    )
    floors = {name.strip(): -floor for floor, line in enumerate(layers) for name in line.split("|")}
    page = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = [
        re.findall(r"`pipeline/(\w+)/`", row.split("|")[1])
        for row in page.splitlines()
        if row.startswith("| `")
    ]
    folders = [name for row in listed for name in row]
    assert {name for name in floors if (root / "pipeline" / name).is_dir()} == set(folders)
    numbers = [floors[name] for name in folders]
    assert numbers == sorted(numbers, reverse=True)


MISSING = """
import multiprocessing, os, signal, sys, types
multiprocessing.set_start_method("spawn")
multiprocessing.get_all_start_methods = lambda: ["spawn"]
sys.modules.update(dict.fromkeys(("fcntl", "resource", "grp", "pwd")))
import filelock  # goes on with this system's functions: Windows has its own way to lock
for name, module in list(sys.modules.items()):
    if name.startswith("filelock") and getattr(module, "os", None) is os:
        module.os = types.SimpleNamespace(**vars(os))
for name in ("O_NOFOLLOW", "O_CLOEXEC", "pwrite", "fchmod", "posix_fallocate", "fork"):
    delattr(os, name)
for name in ("SIGPROF", "ITIMER_PROF", "setitimer", "getitimer"):
    delattr(signal, name)
os.supports_fd.discard(os.utime)
"""
# filelock is loaded first, with locks. WINDOWS switches on what is done there alone, such as
# closing a file before it is renamed.
WINDOWS = f"""
from filelock import lock_descriptor
{MISSING}
import spikesam.common.disk
spikesam.common.disk.WINDOWS = True
"""
# Children, which open files of unknown origin, lack the same.
IN_CHILDREN = """
from spikesam.common import child
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
    raster = spikesam.simulate(
        "cluttered-digits", samples=2, seed=seed, backend="event", out=f"run{seed}"
    )
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

model = torch.nn.Sequential(
    torch.nn.Conv2d(1, 2, 3), Neuron(), torch.nn.Flatten(), torch.nn.Linear(72, 2)
).eval()
with torch.no_grad(), spikesam.record(model, "recorded", layers=["1"]) as recording:
    recording.finish(model(torch.rand(2, 1, 8, 8)))
print(list(spikesam.open_raster("recorded/raster.h5")))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with marks in its name that a command line or a pattern might take for its own."""
    path = tmp_path / "My Files (1) \\ [é]"
    path.mkdir()
    return path


def run(missing: str, script: str, folder: Path) -> str:
    code = missing + IN_CHILDREN.format(missing=missing) + script
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("missing", [WINDOWS, MISSING], ids=["Windows", "a system without locks"])
def test_spikes_are_written_read_simulated_explained_and_shown(missing: str, folder: Path) -> None:
    page, digest = run(missing, SCRIPT, folder).split()
    assert (folder / page).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (
        spikesam.simulate("cluttered-digits", samples=2, seed=1, backend="event").raster_digest
        == digest
    )
    left = {
        path.name
        for path in folder.rglob("*")
        if path.name.startswith(".") or path.name.endswith(".tmp")
    }
    assert left == set()


def test_a_torch_network_is_recorded(folder: Path) -> None:
    pytest.importorskip("torch")
    assert run(WINDOWS, RECORDING, folder) == "['neuron_1']\n"


def test_a_module_that_its_folder_alone_imports_says_so_by_its_name():
    root = Path(__file__).parents[1]
    # Modules of these folders are found by being there; the reference shows classes to users.
    reference = "".join(
        page.read_text(encoding="utf-8") for page in root.glob("docs/reference/api/*.rst")
    )
    found = ("images/datasets", "maps/methods", "imports/libraries")
    modules = {
        f"spikesam.{'.'.join(path.relative_to(root).with_suffix('').parts)}": path
        for folder in ("backends", "pipeline", "recordings")
        for path in (root / folder).rglob("*.py")
        if not path.name.startswith("__") and path.parent.parent != root
    }
    importers = defaultdict[str, set[Path]](set)
    outside = (root / "spikesam").glob("*.py*"), root.glob("*/*.py"), root.glob("scripts/*/*.py")
    sources = [*modules.values(), *chain.from_iterable(outside)]
    for source in sources:
        tree = ast.parse(source.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                package = f"{'spikesam.' * node.level}{node.module}"
                for name in (package, *(f"{package}.{alias.name}" for alias in node.names)):
                    importers[name].add(source)
    private = {
        name
        for name, path in modules.items()
        if importers[name] and all(path.parent in user.parents for user in importers[name])
    }
    assert not [
        name
        for name in private
        if not name.rpartition(".")[2].startswith("_")
        and not any(folder in str(modules[name]) for folder in found)
        and f"{name.removeprefix('spikesam.')}." not in reference
    ]
