"""What users install: the wheel holds all that is needed, and runs from an empty folder and beside
any other module.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import spikesam

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints, run in a folder of its own and without the clone on its path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(target: str, source: Path, folder: Path) -> Path:
    """A wheel or a source distribution ("sdist"), built from a folder of sources."""
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder, cwd=source)
    (built,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    archive = build("sdist", ROOT, folder)
    run("tar", "-xf", archive, cwd=folder)
    return build("wheel", archive.with_suffix("").with_suffix(""), folder)


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which the wheel is installed, and which borrows what it
    needs from this one.
    """
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment)
    programs = environment / "bin"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        programs / "python",
        "install",
        "--no-deps",
        wheel,
        cwd=environment,
    )
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(
        sysconfig.get_paths()["purelib"]
    )  # takes no notice of .pth files in there
    for package in (
        "backends",
        "pipeline",
    ):  # with the kernels compiled here, kept for sources of this time and size
        for kernel in (ROOT / package).rglob("*.nb[ci]"):
            shutil.copy(kernel, site / "spikesam" / kernel.relative_to(ROOT))
        for source in (site / "spikesam" / package).rglob("*.py"):
            shutil.copystat(ROOT / source.relative_to(site / "spikesam"), source)
    return programs


def test_the_wheel_holds_packages_configurations_and_checkpoints(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"spikesam"}
    assert "spikesam/py.typed" in names
    bundled = [
        path.relative_to(ROOT)
        for folder in ("configs", "checkpoints")
        for path in ROOT.glob(f"{folder}/**/*.*")
    ]
    assert len(bundled) > 10
    assert {f"spikesam/{path}" for path in bundled} < set(names)
    page = [
        path.relative_to(ROOT)
        for path in (ROOT / "pipeline/page").rglob("*.*")
        if path.suffix != ".pyc"
    ]
    assert {f"spikesam/{path}" for path in page} < set(names)


def test_the_wheel_is_the_same_from_a_checkout_as_from_the_source_distribution(
    wheel: Path, tmp_path: Path
) -> None:
    """A checkout has links to the folders in spikesam/, which a source distribution drops."""
    contents = [
        {
            member.filename: member.CRC
            for member in zipfile.ZipFile(path).infolist()
            if "RECORD" not in member.filename
        }
        for path in (wheel, build("wheel", ROOT, tmp_path))
    ]
    assert contents[0] == contents[1]


# What is called as one of our folders, or as many people call a file of theirs.
OWN = (
    "pipeline",
    "backends",
    "recordings",
    "configs",
    "checkpoints",
    "paper",
    "benchmarks",
    "tests",
    "utils",
)
SCRIPT = """
import sys
sys.dont_write_bytecode = True
from importlib import import_module
for name in sys.argv[1:]:
    assert import_module(name).mine
import spikesam

raster = spikesam.simulate("cluttered-digits", samples=2, out="simulated")
print(raster.raster_digest, spikesam.explain(raster)["conv2"].sum.shape)
print(spikesam.report("simulated"))
"""
RECORDING = """
import torch
from snntorch import Leaky

class Twice(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.neuron = torch.nn.Conv2d(1, 2, 3), Leaky(0.9)
        self.out = torch.nn.Linear(72, 3)

    def forward(self, x):
        membrane, answer = self.neuron.init_leaky(), 0
        for step in range(2):
            spikes, membrane = self.neuron(self.layer(x), membrane)
            answer = answer + self.out(spikes.flatten(1))
        return answer

model = Twice().eval()
with torch.no_grad(), spikesam.record(model, "recorded") as recording:
    recording.finish(model(torch.rand(2, 1, 8, 8)))
print(spikesam.report("recorded"))
"""


@pytest.mark.parametrize(("installed", "own"), [("wheel", "modules"), ("editable", "packages")])
def test_it_runs_beside_files_of_its_names(
    installed: str, own: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = (
        request.getfixturevalue("programs") if installed == "wheel" else Path(sys.executable).parent
    )
    for name in OWN:
        file = tmp_path / (f"{name}.py" if own == "modules" else f"{name}/__init__.py")
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine = 1\n")
    script = SCRIPT + (RECORDING if find_spec("snntorch") else "")
    (tmp_path / "script.py").write_text(script)
    said = run(folder / "python", "script.py", *OWN, cwd=tmp_path)
    assert (
        said.splitlines()[0]
        == f"{spikesam.simulate('cluttered-digits', samples=2).raster_digest} (2, 20, 20)"
    )
    for name in ("simulated", "recorded") if find_spec("snntorch") else ("simulated",):
        assert f"{name}/report.html" in said
    program, *words = ["spikesam"] if installed == "wheel" else ["python", "-m", "spikesam"]
    run(folder / program, *words, "run", "--samples", "1", "--out", "run", cwd=tmp_path)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["n_samples"] == 1


def test_an_editable_install_copies_nothing(tmp_path: Path) -> None:
    editable = "from hatchling.build import build_editable; print(build_editable('.'))"
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "spikesam", checkout / "spikesam", symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    for name in ("pipeline", "backends", "recordings", "configs", "checkpoints"):
        (checkout / name).mkdir()
        (checkout / name / "file.py").touch()
    built = checkout / run(sys.executable, "-c", editable, cwd=checkout).strip()
    names = zipfile.ZipFile(built).namelist()
    assert [name for name in names if ".dist-info/" not in name] == ["_spikesam.pth"]


def test_commands_are_modules_of_a_checkout(tmp_path: Path) -> None:
    run(sys.executable, "-m", "pipeline.run", "--samples", "1", "--out", tmp_path / "run", cwd=ROOT)
    said = run(sys.executable, "-m", "pipeline.validate", tmp_path / "run" / "raster.h5", cwd=ROOT)
    assert "\nvalid\n" in said


def test_it_runs_from_an_empty_folder_and_from_where_it_was_installed(
    programs: Path, tmp_path: Path
) -> None:
    script = """
import spikesam
from spikesam.pipeline.config import CONFIGS
raster = spikesam.simulate("cluttered-digits", samples=1)
maps = spikesam.explain(raster)
shapes = raster["conv1"][0].shape, maps["conv2"].sum.shape
print(spikesam.__version__, spikesam.__file__, CONFIGS, *shapes)
"""
    version, file, configs, shapes = run(programs / "python", "-c", script, cwd=tmp_path).split(
        maxsplit=3
    )
    assert version in (ROOT / "pyproject.toml").read_text()
    assert all(Path(path).is_relative_to(programs.parent) for path in (file, configs))
    assert shapes == "(16, 24, 40, 40) (1, 20, 20)\n"
    assert list(tmp_path.iterdir()) == []


def test_the_main_job_runs_from_an_empty_folder(programs: Path, tmp_path: Path) -> None:
    """On Lava where it is installed, which starts a process of its own from the wheel; events were
    simulated above.
    """
    backend = "lava" if find_spec("lava") else "event"
    run(
        programs / "spikesam",
        "run",
        "--backend",
        backend,
        "--samples",
        "1",
        "--out",
        "out",
        cwd=tmp_path,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["backend"] == backend
    assert (tmp_path / "out" / "figures" / "overview.png").stat().st_size > 0
    assert (tmp_path / "out" / "report.html").stat().st_size > 0
