"""What users install: the wheel holds all that is needed, and runs from an empty folder."""

from __future__ import annotations

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

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"spikesam", "pipeline", "backends", "recordings"}


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints, run in a folder of its own and without the clone on its path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (archive,) = folder.glob("*.tar.gz")
    run("tar", "-xf", archive, cwd=folder)
    unpacked = archive.with_suffix("").with_suffix("")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=unpacked)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which the wheel is installed, and which borrows what it needs from this one."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment)
    programs = environment / "bin"
    run(sys.executable, "-m", "pip", "--python", programs / "python", "install", "--no-deps", wheel, cwd=environment)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"])  # takes no notice of .pth files in there
    for package in ("backends", "pipeline"):  # with the kernels compiled here, kept for sources of this time and size
        for kernel in (ROOT / package).rglob("*.nb[ci]"):
            shutil.copy(kernel, site / kernel.relative_to(ROOT))
        for source in (site / package).rglob("*.py"):
            shutil.copystat(ROOT / source.relative_to(site), source)
    return programs


def test_the_wheel_holds_packages_configurations_and_checkpoints(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} < set(names)
    bundled = [
        path.relative_to(ROOT) for folder in ("configs", "checkpoints") for path in ROOT.glob(f"{folder}/**/*.*")
    ]
    assert len(bundled) > 10
    assert {f"pipeline/{path}" for path in bundled} < set(names)
    page = [path.relative_to(ROOT) for path in (ROOT / "pipeline/page").rglob("*.*") if path.suffix != ".pyc"]
    assert {str(path) for path in page} < set(names)


def test_it_is_imported_from_where_it_was_installed(programs: Path, tmp_path: Path) -> None:
    script = (
        "import spikesam; from pipeline.config import CONFIGS; print(spikesam.__version__, spikesam.__file__, CONFIGS)"
    )
    version, file, configs = run(programs / "python", "-c", script, cwd=tmp_path).split()
    assert version in (ROOT / "pyproject.toml").read_text()
    assert Path(file).is_relative_to(programs.parent)
    assert Path(configs).is_relative_to(programs.parent)


def test_the_lines_of_the_readme_run_from_an_empty_folder(programs: Path, tmp_path: Path) -> None:
    script = """
import spikesam
raster = spikesam.simulate("cluttered-digits", samples=1)
maps = spikesam.explain(raster)
print(raster["conv1"][0].shape, maps["conv2"].sum.shape)
"""
    assert run(programs / "python", "-c", script, cwd=tmp_path) == "(16, 24, 40, 40) (1, 20, 20)\n"
    assert list(tmp_path.iterdir()) == []


def test_the_main_job_runs_from_an_empty_folder(programs: Path, tmp_path: Path) -> None:
    """On Lava where it is installed, which starts a process of its own from the wheel; events were simulated above."""
    backend = "lava" if find_spec("lava") else "event"
    run(programs / "spikesam", "run", "--backend", backend, "--samples", "1", "--out", "out", cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["backend"] == backend
    assert (tmp_path / "out" / "figures" / "overview.png").stat().st_size > 0
    assert (tmp_path / "out" / "report.html").stat().st_size > 0
