"""A folder with small networks, images and configurations, and commands to run in it, each with
what it must leave.
"""

import atexit
import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spikesam
from spikesam.backends.network.storage import read_network
from spikesam.common.errors import InputError
from spikesam.pipeline.engine.range_file import RangeRecord
from spikesam.recordings.digests import seal
from spikesam.recordings.errors import RasterError
from tests.campaign.faults import Boundaries
from tests.campaign.formats.rasters import read_maps
from tests.campaign.process import SHARED_MEMORY, Ended, aside, nothing_runs, run

# seconds: a command that takes longer has compiled something, which is kept, and is measured again
COMPILING = 15.0
FINAL = {"raster.h5", "sam.h5", "out.h5"}


@dataclass(frozen=True)
class Recipe:
    """A command, how to go on after it was stopped, and what of its results must be equal."""

    line: str
    again: str  # words that are added to continue it, or to do it again over what is there
    results: str  # files below the folder, or patterns, that hold what must be equal
    reports: bool = False  # writes lines of progress to standard error


RUN = "run --checkpoint snn.safetensors --samples 40 --figures 1 --data images --out"
LEAVES = "out/raster.h5 out/sam.h5 out/network.safetensors"
MADE = "out/checkpoint.safetensors"
TABLES = "out/layers.csv out/steps.csv out/classes.csv out/energy*.png"
RECIPES = {
    "event": Recipe(f"{RUN} out --backend event", "--resume", LEAVES),
    "part": Recipe(f"{RUN} out --backend event --range 1/1", "", "out/raster.parts/0*.range"),
    "dask": Recipe(f"{RUN} out --backend event --dask local:2", "--resume", LEAVES),
    "torch": Recipe(f"{RUN} out --backend torch", "--resume", LEAVES),
    "lava": Recipe(f"{RUN} out --backend lava --lava-deadline 20", "--resume", LEAVES),
    "train": Recipe("train --config small.toml --out out", "--resume", MADE, reports=True),
    "convert": Recipe(
        "convert ann.safetensors --config small.toml --samples 9 --out out",
        "--overwrite",
        f"{MADE} out/accuracy.csv",
    ),
    "paper": Recipe(
        "paper fig3 --config paper.toml --out out", "", "out/fig3.csv out/fig3.claims.csv"
    ),
    "explain": Recipe("explain raster.h5 --out out.h5", "--overwrite", "out.h5"),
    "energy": Recipe("energy raster.h5 --network snn.safetensors --out out", "--overwrite", TABLES),
    "gradcam": Recipe(
        "explain snn.safetensors --samples 6 --data images --out out.h5", "--overwrite", "out.h5"
    ),
    "diff": Recipe("diff raster.h5 raster.h5 --out out.png", "--overwrite", "out.png"),
    "export": Recipe(
        "export snn.safetensors --samples 9 --seeds 2 --data images --out out",
        "--overwrite",
        "out/network.*.safetensors out/accuracy.json",
    ),
    "zarr": Recipe("export raster.h5 out.zarr", "--overwrite", "out.zarr/**/*"),
}


def build(base: Path) -> None:
    """Make the folder `work` in `base`."""
    from tests.pipeline.small_networks import small_workplace

    (base / "work").mkdir()
    work = small_workplace(base / "work", per_class=14, size=26)
    assert (ended := run(RECIPES["event"].line, work)).code == 0, ended
    (work / "out" / "raster.h5").replace(work / "raster.h5")
    shutil.rmtree(work / "out")


def measured(base: Path, name: str) -> dict[str, Any]:
    """Run a command undisturbed in a copy of the folder, once: what it takes and passes, and what
    it leaves.
    """
    kept = base / f"{name}.json"
    if not kept.exists():
        folder, count, seconds = base / "copy", base / "count", COMPILING
        boundaries = Boundaries(report=count)

        def prepare() -> None:
            boundaries.install()
            atexit.register(boundaries.save)

        for _ in range(2):
            if seconds >= COMPILING:
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(base / "work", folder)
                ended = run(RECIPES[name].line, folder, prepare)
                assert ended.code == 0, ended
                seconds = ended.seconds
        found = {
            "seconds": seconds,
            "boundaries": int(count.read_text()),
            "results": aside(results, folder, RECIPES[name]),
            "files": sorted(files(folder)),
            "largest": max(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        }
        shutil.rmtree(folder)
        kept.write_text(json.dumps(found))
    return json.loads(kept.read_text())


def files(folder: Path) -> set[str]:
    """Every file and empty folder, by its path; where a name holds the time or the host, without
    that.
    """
    found = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    }
    return {re.sub(r"tfevents\..*", "tfevents", name) for name in found}


def results(folder: Path, recipe: Recipe) -> dict[str, str]:
    """Identity of each result."""
    found = {}
    for pattern in recipe.results.split():
        paths = sorted(path for path in folder.glob(pattern) if path.is_file())
        found |= {path.relative_to(folder).as_posix(): identity(path) for path in paths} or {
            pattern: "missing"
        }
    return found


def identity(path: Path) -> str:
    """What a reader says of a raster, of maps, of a checkpoint, or the bytes of a file; an
    InputError if not whole.
    """
    if path.suffix == ".safetensors":
        return read_network(path)[0].sha256
    if path.suffix == ".range":
        said = read_range(path).model_dump_json(
            exclude={"job", "seconds", "sections"}
        )  # of any run, however fast
        return hashlib.sha256(said.encode()).hexdigest()
    if path.suffix != ".h5":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if path.name == "raster.h5":
        with spikesam.open_raster(path) as raster:
            raster.verify()
            return raster.raster_digest
    return hashlib.sha256(json.dumps(read_maps(path), sort_keys=True).encode()).hexdigest()


def read_range(path: Path) -> RangeRecord:
    """The record of the samples of a range; a RasterError if its file is not whole."""
    digest, line, content = path.read_bytes().split(b"\n", 2)
    if hashlib.sha256(line).hexdigest().encode() != digest:
        raise RasterError(f"{path}: damaged")
    record = RangeRecord.model_validate_json(line)
    for expected in record.sections.values():
        if seal(content[: expected.size]) != expected:
            raise RasterError(f"{path}: damaged")
        content = content[expected.size :]
    return record


def all_whole(folder: Path) -> None:
    """Every file under a final name must be whole."""

    def check() -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and (path.name in FINAL or path.suffix in (".range", ".safetensors")):
                try:
                    identity(path)
                except (InputError, OSError) as error:
                    raise AssertionError(
                        f"{path.relative_to(folder)} is there and is not whole: {error}"
                    ) from None

    aside(check)


def same_results(work: Path, base: Path, name: str) -> None:
    """Every file is whole, and the results are those of an undisturbed command."""
    all_whole(work)
    left, good = aside(results, work, RECIPES[name]), measured(base, name)["results"]
    none(
        "differ from an undisturbed command's",
        {key for key in left | good if left.get(key) != good.get(key)},
    )


def finish(work: Path, base: Path, name: str, alone: bool) -> None:
    """Continue a command that was stopped: it must end as if it had never been, and leave nothing
    else.
    """
    recipe, good = RECIPES[name], measured(base, name)
    ended = continued(work, recipe)
    ended.check(recipe.reports)
    assert ended.code == 0, f"cannot be continued: {ended.line}"
    same_results(work, base, name)
    none("left, or lacking", files(work) ^ set(good["files"]))
    none("temporary files are left", os.listdir(os.environ["TMPDIR"]))
    nothing_runs()
    none(
        "left in shared memory",
        os.listdir(SHARED_MEMORY) if alone and SHARED_MEMORY.is_dir() else [],
    )


def none(what: str, names: Collection[str]) -> None:
    """There must be none of these."""
    assert not names, f"{what}: {', '.join(sorted(names))[:300]}"


def continued(work: Path, recipe: Recipe) -> Ended:
    """The command again, with what continues it; from the start where nothing was kept to be
    continued.
    """
    ended = run(f"{recipe.line} {recipe.again}", work)
    if ended.code == 2 and "--resume" in recipe.again:
        again = run(recipe.line, work)
        return again if again.code == 0 else ended
    return ended
