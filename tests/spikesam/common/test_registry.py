"""What other packages add: one of each kind, made and installed here;
and what is refused of them.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from spikesam.common.errors import InputError
from spikesam.common.registry import Registry

POINTS = {
    "methods": "twice = stranger:Twice",
    "backends": "stranger = stranger:make",
    "libraries": "stranger = stranger.library:LIBRARY",
    "datasets": "strange-digits = stranger:DIGITS",
    "formats": ".counts = stranger:COUNTS",
}
PACKAGE = """
from dataclasses import dataclass
from pathlib import Path

from spikesam.backends.base import Backend
from spikesam.pipeline.images.datasets import open_dataset
from spikesam.pipeline.images.datasets.base import NamedSet
from spikesam.pipeline.interop.exporter import Exporter, Format
from spikesam.pipeline.maps.methods.sam import SpikeActivationMaps


def make(device: str, threads: int | None) -> Backend:
    from spikesam.backends.event.backend import EventBackend

    backend = EventBackend(threads)
    backend.name = "stranger"
    return backend


@dataclass(frozen=True)
class Twice(SpikeActivationMaps):
    \"\"\"What a stranger maps.\"\"\"

    name = "twice"
    title = "A stranger's maps"


class Counts(Exporter):
    size = most = steps = 1

    def write(self, path, advance, overwrite):
        path.write_text(str(self.selection.recording.counts("conv1").sum()))


def digits(split, size):
    return open_dataset("cluttered-digits", split, size=size)


DIGITS = NamedSet(digits, generated=True)
COUNTS = Format("a number", "stranger:Counts")
"""
LIBRARY = """
from torch import nn

from spikesam.backends.network import LIF
from spikesam.pipeline.imports.libraries.library import Library, SpikingModule


class Spiker(nn.Module):
    pass


SPIKERS = {"Spiker": lambda module: SpikingModule(LIF(0.5))}
LIBRARY = Library("stranger", SPIKERS, lambda module: "B...")
"""
USE = """
import spikesam
assert "importlib.metadata" not in __import__("sys").modules
from spikesam.pipeline import explain, export, run

DATA = "--data strange-digits --samples 1"
run.main(f"--backend stranger {DATA} --out run --figures 0 --no-report".split())
explain.main("run --method twice --gamma 0.1".split())
export.main("run/raster.h5 one.counts".split())
with spikesam.open_maps("run/twice.h5") as maps, spikesam.open_raster("run/raster.h5") as raster:
    counted = int(open("one.counts").read())
    print(maps.header.method, raster.header.backend, raster.counts("conv1").sum() == counted)
from spikesam.pipeline.imports.libraries.known import library_that_fires
from stranger.library import LIBRARY, Spiker

print(library_that_fires(Spiker()) is LIBRARY)
"""


def installed(folder: Path, name: str, points: dict[str, str]) -> Path:
    """A folder in which a package of that name lies as pip installs it."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "".join(f"[spikesam.{group}]\n{it}\n" for group, it in points.items())
    )
    return folder


def test_a_package_adds_one_of_each_and_the_current_folder_none(tmp_path: Path) -> None:
    site = installed(tmp_path / "site", "stranger", POINTS)
    (site / "stranger").mkdir()
    (site / "stranger" / "__init__.py").write_text(PACKAGE)
    (site / "stranger" / "library.py").write_text(LIBRARY)
    here = installed(tmp_path / "here", "hostile", dict.fromkeys(POINTS, "event = antigravity:fly"))
    command = [sys.executable, "-c", USE]
    done = subprocess.run(
        command, cwd=here, env={"PYTHONPATH": str(site)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == ["twice stranger True", "True"]


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (
            "event = json:dumps",
            "spikesam.backends: the name 'event' is taken by spikesam; uninstall one of them",
        ),
        (
            "odd = json:no_such",
            "spikesam.backends: odd: json:no_such cannot be imported (AttributeError: ",
        ),
        (
            "odd = no_such_module",
            "spikesam.backends: odd: no_such_module cannot be imported (ModuleNotFoundError: ",
        ),
        (
            "odd = json:__name__",
            "spikesam.backends: odd: json:__name__ is of type str, expected a function",
        ),
    ],
)
def test_bad_ones_are_refused_by_name(
    point: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed(tmp_path, "odd", {"backends": point}))
    registry = Registry("backends", "a function", callable, {"event": print})
    assert registry["event"] is print
    with pytest.raises(InputError) as caught:
        registry.get("odd")
    assert str(caught.value).startswith(f"package odd 1.0, {message}") and "\n" not in str(
        caught.value
    )


def test_two_packages_with_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("one", "two"):
        monkeypatch.syspath_prepend(
            installed(tmp_path / package, package, {"formats": ".x = json:dumps"})
        )
    with pytest.raises(
        InputError, match=r"is taken by package (one|two) 1\.0, spikesam\.formats: \.x; uninstall"
    ):
        list(Registry("formats", "a function", callable, {}))
