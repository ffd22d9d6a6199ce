"""A folder with small networks, images and configurations, and commands to run in it, each with what it must leave."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .faults import Boundaries
from .process import run

MODULES = ("tests.campaign.warm",)
SMALL = """
[data]
source = "images"
height = 16
width = 24
[network]
layers = [4, "P", 6, "P4", "D8"]
timesteps = 8
[training]
epochs = 2
batch_size = 8
[conversion]
timesteps = 16
calibration = 8
"""
PAPER = '[paper]\ncheckpoint = "snn.safetensors"\nann = "ann.safetensors"\nimages = 6\nshown = 1\n'
COMPILING = 15.0  # seconds: a command that takes longer has compiled something, which is kept, and is measured again
FINAL = {"raster.h5", "sam.h5", "out.h5"}
IMAGES = ("--data", "images", "--out")
RUN = ("run", "--checkpoint", "snn.safetensors", "--samples", "40", "--figures", "1", *IMAGES, "out")


@dataclass(frozen=True)
class Recipe:
    """A command, how to go on after it was stopped, and what of its results must be equal.

    Parameters
    ----------
    words : the command
    again : what is added to continue it, or to do it again over what is there
    results : files below the folder, or patterns, that hold what must be equal
    reports : whether it writes lines of progress to standard error
    """

    words: tuple[str, ...]
    again: tuple[str, ...]
    results: tuple[str, ...]
    reports: bool = False


RUN_LEAVES = ("out/raster.h5", "out/sam.h5", "out/network.safetensors")
RECIPES = {
    "event": Recipe((*RUN, "--backend", "event"), ("--resume",), RUN_LEAVES),
    "part": Recipe(
        (*RUN, "--backend", "event", "--range", "1/1"), (), ("out/raster.parts/0*.h5", "out/maps.parts/0*.h5")
    ),
    "torch": Recipe((*RUN, "--backend", "torch"), ("--resume",), RUN_LEAVES),
    "lava": Recipe((*RUN, "--backend", "lava", "--lava-deadline", "20"), ("--resume",), RUN_LEAVES),
    "train": Recipe(
        ("train", "--config", "small.toml", "--out", "out"),
        ("--resume",),
        ("out/checkpoint.safetensors",),
        reports=True,
    ),
    "convert": Recipe(
        ("convert", "ann.safetensors", "--config", "small.toml", "--samples", "9", "--out", "out"),
        ("--overwrite",),
        ("out/checkpoint.safetensors", "out/accuracy.csv"),
    ),
    "paper": Recipe(
        ("paper", "fig3", "--config", "paper.toml", "--out", "out"), (), ("out/fig3.csv", "out/fig3.claims.csv")
    ),
    "explain": Recipe(("explain", "raster.h5", "--out", "out.h5"), ("--overwrite",), ("out.h5",)),
    "gradcam": Recipe(
        ("gradcam", "snn.safetensors", "--samples", "6", *IMAGES, "out.h5"),
        ("--overwrite",),
        ("out.h5",),
    ),
    "export": Recipe(
        ("export", "snn.safetensors", "--samples", "9", "--seeds", "2", *IMAGES, "out"),
        ("--overwrite",),
        ("out/network.*.safetensors", "out/accuracy.json"),
    ),
}


def build(shared: Path, names: tuple[str, ...]) -> Path:
    """Make the folder, and measure commands undisturbed in copies of it; what is there already is not made again.

    Returns
    -------
    the folder; :func:`measured` says what was found
    """
    from tests.pipeline.small_networks import class_folders, small_ann, small_checkpoint

    base = shared / "work"
    if not base.exists():
        base.mkdir(parents=True)
        small_checkpoint(base / "snn.safetensors")
        small_ann(base / "ann.safetensors")
        class_folders(base / "images", per_class=14, size=26)
        (base / "small.toml").write_text(SMALL)
        (base / "paper.toml").write_text(SMALL + PAPER)
        _undisturbed(base, (*RUN, "--backend", "event"), None)
        (base / "out" / "raster.h5").replace(base / "raster.h5")
        shutil.rmtree(base / "out")
    for name in names:
        if not (shared / f"{name}.json").exists():
            (shared / f"{name}.json").write_text(json.dumps(_measure(base, shared / "copy", name)))
    return base


def shared(base: Path) -> Path:
    """Where subjects with these materials share them."""
    return base.with_name("workplace")


def measured(shared: Path, name: str) -> dict[str, Any]:
    """How many `seconds` a command takes undisturbed, how many `boundaries` it passes, and what it leaves:
    `results`, `files`, and the bytes of the `largest` file.
    """
    found: dict[str, Any] = json.loads((shared / f"{name}.json").read_text())
    return found


def _measure(base: Path, folder: Path, name: str) -> dict[str, Any]:
    seconds = COMPILING
    count = folder.with_name("count")
    for _ in range(2):
        if seconds >= COMPILING:
            shutil.rmtree(folder, ignore_errors=True)
            copy(base, folder)
            seconds = _undisturbed(folder, RECIPES[name].words, count)
    found = {
        "seconds": seconds,
        "boundaries": int(count.read_text()),
        "results": results(folder, RECIPES[name]),
        "files": sorted(files(folder)),
        "largest": max(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    }
    shutil.rmtree(folder)
    return found


def _undisturbed(folder: Path, words: tuple[str, ...], count: Path | None) -> float:
    boundaries = Boundaries(report=count)

    def prepare() -> None:
        boundaries.install()
        atexit.register(boundaries.save)

    ended = run(words, folder, prepare)
    assert ended.code == 0, f"{' '.join(words)}: {ended}"
    return ended.seconds


def copy(base: Path, folder: Path) -> Path:
    """A copy of a workplace."""
    shutil.copytree(base, folder)
    return folder


def files(folder: Path) -> set[str]:
    """Every file and empty folder, by its path; where a name holds the time or the host, without that."""
    found = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    }
    return {re.sub(r"tfevents\..*", "tfevents", name) for name in found}


def results(folder: Path, recipe: Recipe) -> dict[str, str]:
    """Identity of each result: what a reader says of a raster, of maps, of a checkpoint; or the bytes of a file.

    Raises
    ------
    InputError : if one is not whole
    """
    found = {}
    for pattern in recipe.results:
        paths = sorted(folder.glob(pattern))
        if not paths:
            found[pattern] = "missing"
        for path in paths:
            found[path.relative_to(folder).as_posix()] = identity(path)
    return found


def identity(path: Path) -> str:
    """Of one file, which must be whole."""
    import spikesam
    from backends.network.storage import read_network

    if path.suffix == ".safetensors":
        return read_network(path)[0].sha256
    if path.suffix != ".h5":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    from .maps import maps_content

    if path.name == "raster.h5" or path.parent.name == "raster.parts":
        with spikesam.open_raster(path) as raster:
            raster.verify()
            return raster.raster_digest
    content = maps_content(path)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def broken(folder: Path) -> str:
    """The first file under a final name that is not whole; "" if all are."""
    from recordings.errors import InputError

    for path in sorted(folder.rglob("*")):
        if path.is_file() and (path.name in FINAL or path.suffix == ".safetensors"):
            try:
                identity(path)
            except InputError as error:
                return f"{path.relative_to(folder)} is there and is not whole: {error}"
            except OSError as error:
                return f"{path.relative_to(folder)}: {error}"
    return ""


def leftovers(folder: Path) -> list[str]:
    """What the commands left in the folder for temporary files."""
    temporary = Path(os.environ["TMPDIR"])
    return sorted(path.name for path in temporary.iterdir())
