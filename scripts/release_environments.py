"""Try the wheel of a release as its users have it: alone and with each extra, in environments of
its own, and write the bill of materials of the installation without extras.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from scripts.commands import ReleaseError, run

Command = tuple[str, ...]

RUN: Command = (
    *("spikesam", "run", "--backend", "event", "--precision", "float32"),
    *("--checkpoint", "residual-digits", "--samples", "2", "--out", "run"),
)
ALONE: tuple[Command, ...] = (  # what an installation without extras can do, in an empty folder
    RUN,
    ("spikesam", "explain", "run", "--method", "relevance", "--figures", "pictures"),
    ("spikesam", "report", "run"),
    ("spikesam", "validate", "run/raster.h5", "run/sam.h5", "run/relevance.h5"),
)
EXPLAIN = "import spikesam; spikesam.explain('residual-digits', samples=2, method='grad-cam')"
TRAIN = """
from spikesam.pipeline.images.datasets import base
base.SIZES.update(selection=20, test=20)
from spikesam.pipeline import train
small = ("--training.epochs", "1", "--data.train_scenes", "64")
train.main(["--config", "cluttered_digits", *small, "--out", "trained"])
"""
WRITE_NIR = """
import nir, numpy
one = numpy.ones(3)
nodes = {
    "input": nir.Input({"input": numpy.array([2])}),
    "weights": nir.Linear(numpy.ones((3, 2))),
    "neurons": nir.LIF(tau=one, r=one, v_leak=0 * one, v_threshold=one),
    "output": nir.Output({"output": numpy.array([3])}),
}
names = list(nodes)
nir.write("small.nir", nir.NIRGraph(nodes, list(zip(names[:-1], names[1:]))))
"""
VERIFY: Command = (
    *("spikesam", "verify", "small.nir", "--backends", "event"),
    *("--timesteps", "5", "--dt", "1"),
)
VIEW = """
import spikesam
view = spikesam.view("run")
view.step = 7
assert view.get_state()["step"] == 7  # what a front end is sent
"""
READ_EVENTS = """
import faery, numpy
events = numpy.zeros(3, dtype=faery.EVENTS_DTYPE)
events["t"] = (0, 7, 9)
faery.events_stream_from_array(events, dimensions=(4, 4)).to_file("a.aedat4")
from spikesam.pipeline.images.events.files import read_events
assert read_events("a.aedat4").t.tolist() == [0, 7, 9]
"""
READ_RASTER = """
import xarray
assert xarray.open_dataset("run/raster.h5", engine="spikesam").load().sizes["sample"] == 2
"""
TRIES: Mapping[str, tuple[Command, ...]] = {  # extra -> what it is for
    "": ALONE,
    "tables": (RUN, ("spikesam", "energy", "run")),
    "torch": (
        ("spikesam", "run", "--backend", "torch", "--samples", "2", "--out", "run"),
        ("python", "-c", EXPLAIN),
    ),
    "train": (("python", "-c", TRAIN),),
    "lava": (("python", "-c", "import asteval, networkx, scipy"),),  # lava-nc is installed apart
    "nir": (("python", "-c", WRITE_NIR), VERIFY),
    "notebook": (RUN, ("python", "-c", VIEW)),
    "dask": (("spikesam", "run", "--dask", "local:2", "--samples", "2", "--out", "run"),),
    "events": (("python", "-c", READ_EVENTS),),
    "xarray": (RUN, ("python", "-c", READ_RASTER)),
    "nwb": (RUN, ("spikesam", "export", "run", "run.nwb")),
    "chip": (RUN, ("spikesam", "chip", "run")),
    "zarr": (RUN, ("spikesam", "export", "run", "run.zarr")),
}
# What docs/start.md tells people to install afterwards: pyproject.toml allows an older nir, which
# sinabs asks for, and spikesam names the command where it reads a file.
AFTERWARDS: Mapping[str, Command] = {"nir": ("--no-deps", "nir>=1.0.8")}
OF_ALL = ("all", "dev")  # extras that only name others


def refuse_untried_extras(project: Mapping[str, Any]) -> None:
    """Refuse an extra of the project that no command here tries."""
    extras = {name for name in project["optional-dependencies"] if name not in OF_ALL}
    if untried := sorted(extras - {*TRIES}):
        raise ReleaseError(f"extra {untried[0]!r}: scripts/release_environments.py does not try it")


def requirements_of(project: Mapping[str, Any], extra: str) -> list[str]:
    """The requirements of the project and one of its extras, those of the extras that it names
    included.
    """
    requirements = list(project["dependencies"])
    extras = [extra] if extra else []
    for name in extras:
        for text in project["optional-dependencies"][name]:
            requirement = Requirement(text)
            if requirement.name == project["name"]:
                extras += sorted(requirement.extras)
            else:
                requirements.append(text)
    return requirements


def try_wheel(
    wheel: Path, project: Mapping[str, Any], extra: str, python: str, resolution: str, bill: Path
) -> None:
    """Install the wheel with one extra ("" for none) into an environment of its own, and run what
    the extra is for; without an extra write the bill of materials of that environment.

    `resolution` is uv's: "lowest-direct" or "highest".

    Raises
    ------
    ReleaseError : if an installation or a command fails
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = folder / "venv" / "bin"
        run(["uv", "venv", "--quiet", "--python", python, "venv"], folder)
        # Named directly, the requirements themselves are the oldest, not only those of the wheel.
        (folder / "requirements.txt").write_text("\n".join(requirements_of(project, extra)))
        install: list[str | Path] = [
            "uv",
            "pip",
            "install",
            "--quiet",
            "--python",
            programs / "python",
        ]
        needs = ["--resolution", resolution, "--requirement", "requirements.txt"]
        run([*install, *needs, wheel], folder)
        if extra in AFTERWARDS:
            run([*install, *AFTERWARDS[extra]], folder)
        for program, *words in TRIES[extra]:
            try:
                run([programs / program, *words], folder)
            except ReleaseError as error:
                shown = f"extra {extra!r}" if extra else "without extras"
                raise ReleaseError(f"Python {python}, {resolution}, {shown}: {error}") from None
        if not extra:
            write_bill(programs / "python", bill, folder)


def write_bill(python: Path, bill: Path, folder: Path) -> None:
    """Write the bill of materials (CycloneDX) of an environment, the same bytes each time."""
    command = ["uv", "tool", "run", "--from", "cyclonedx-bom", "cyclonedx-py", "environment"]
    options: list[str | Path] = [
        "--output-reproducible",
        "--output-format",
        "JSON",
        "--output-file",
        bill,
    ]
    run([*command, *options, python], folder)
    forget_local_files(bill)


def forget_local_files(bill: Path) -> None:
    """Drop where the wheel lay on this machine from the bill of materials."""
    content = json.loads(bill.read_text(encoding="utf-8"))
    for component in content["components"]:
        references = component.get("externalReferences", [])
        component["externalReferences"] = [
            reference for reference in references if not reference["url"].startswith("file:")
        ]
    bill.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
