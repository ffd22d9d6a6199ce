"""Where files of unknown origin come in: every command and public function that reads some, with
what it reads.
"""

import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

import spikesam
from spikesam.common.disk import TEMPORARY
from tests.campaign.attacks import Done
from tests.campaign.faults import Boundaries
from tests.campaign.formats import zips
from tests.campaign.isolated import Refused
from tests.campaign.outside import Outside, make_outside
from tests.campaign.process import (
    SHARED_MEMORY,
    adopt_orphans,
    aside,
    nothing_runs,
    own_mounts,
    run,
)
from tests.campaign.workplace import RECIPES, RUN, identity, none
from tests.hostile import make_hostile
from tests.pipeline.small_events import nmnist_file
from tests.pipeline.small_net import small_net

TRAIN = "train --config small.toml --out"
SNN, IMAGE = "snn.safetensors", "images/apple/0.png"


@dataclass(frozen=True)
class Entry:
    """A command, or a function of Python spelt as one."""

    line: str
    reads: str  # files and folders of unknown origin
    same: dict[str, str] = field(
        default_factory=dict
    )  # result -> a good file, unless another valid input was made
    follows: bool = False  # goes by design where a configuration says
    tells: bool = False  # exit code 1 is an answer, if no error was written
    memory: int = 1 << 30  # bytes, at most; SANA-FE takes 1.7 GB for the chip alone


def _same(folder: str) -> dict[str, str]:
    return {f"{folder}/{name}": f"run/{name}" for name in ("raster.h5", "sam.h5")}


TRAINED = {"trained/checkpoint.safetensors": "whole/checkpoint.safetensors"}
ENTRIES = {
    "validate": Entry("validate raster.h5 maps.sam.h5", "raster.h5 maps.sam.h5"),
    "explain": Entry("explain raster.h5 --out out.h5", "raster.h5"),
    "relevance": Entry("explain run/raster.h5 --method relevance --out out.h5", "run"),
    "gradcam": Entry(RECIPES["gradcam"].line, f"{SNN} {IMAGE}"),
    "diff": Entry("diff run raster.h5 --out out.png", "run raster.h5", tells=True),
    "diff network": Entry(f"diff run {SNN} --backend event", f"run {SNN}", tells=True),
    "energy": Entry("energy run --out out", "run"),
    "fits": Entry(f"fits {SNN}", SNN, tells=True),
    "chip": Entry("chip played --out out", "played", memory=3 << 30),
    "chip --network": Entry(
        "chip played.h5 --network steady.safetensors --out out",
        "played.h5 steady.safetensors",
        memory=3 << 30,
    ),
    "chip --mapping": Entry(
        "chip played --mapping mapping.csv --out out", "mapping.csv", memory=3 << 30
    ),
    "report": Entry("report run --out page.html", "run"),
    "merge": Entry("merge parts", "parts", _same("parts"), follows=True),
    "run --resume": Entry(
        f"{RUN} stopped --backend event --resume", f"stopped {SNN}", _same("stopped")
    ),
    "run --range": Entry(f"{RUN} stopped --backend event --range 1/1", f"stopped {SNN}"),
    "run --data": Entry(f"{RUN} new --backend event", f"{SNN} {IMAGE}"),
    "run --data zip": Entry("run --checkpoint wnids.safetensors --data a.zip --out new", "a.zip"),
    "run --config": Entry("run --config run.toml --out new", "run.toml", follows=True),
    "train": Entry(f"{TRAIN} new", f"small.toml {IMAGE}", follows=True),
    "train --resume": Entry(f"{TRAIN} trained --resume", "trained", TRAINED),
    "convert": Entry(
        "convert ann.safetensors --config small.toml --samples 9 --out new",
        f"ann.safetensors small.toml {IMAGE}",
        follows=True,
    ),
    "export": Entry(
        f"export {SNN} --samples 4 --seeds 1 --data images --nir b.nir --out new", f"{SNN} {IMAGE}"
    ),
    "export raster": Entry("export raster.h5 b.nwb", "raster.h5"),
    "open_raster": Entry("spikesam.open_raster raster.h5", "raster.h5"),
    "open_maps": Entry("spikesam.open_maps maps.sam.h5", "maps.sam.h5"),
    "load": Entry(f"spikesam.load {SNN}", SNN),
    "read_events": Entry("spikesam.read_events a.bin", "a.bin"),
    "from_nir": Entry("spikesam.from_nir a.nir", "a.nir"),
    "from_netx": Entry("spikesam.from_netx a.net", "a.net"),
    "simulate": Entry(f"spikesam.simulate {SNN} {IMAGE} new", f"{SNN} {IMAGE}"),
    "py report": Entry("spikesam.report run raster.h5 page.html", "run raster.h5"),
    "py explain": Entry("spikesam.explain raster.h5 out.h5", "raster.h5"),
}


def build_entries(base: Path, folder: Path) -> None:
    """Make a folder `work` with all that entry points read, and a folder `outside`, in `folder`."""
    work = folder / "work"
    shutil.copytree(base / "work", work)
    spikesam.save(zips.checkpoint(), work / "wnids.safetensors")
    zips.add(work / "a.zip", zips.members())
    one = np.arange(60) % 34
    events = spikesam.Events(np.arange(60) * 100, one, one, one % 2 == 1, (34, 34))
    nmnist_file(work / "a.bin", events)
    spikesam.to_nir(spikesam.load(work / "snn.safetensors").network, work / "a.nir")
    small_net(work / "a.net")
    _play(work)
    (work / "run.toml").write_text(
        f'[run]\ncheckpoint = "{SNN}"\ndata = ["images"]\nsamples = 20\nbackend = "event"\n'
    )
    epoch = work / "trained" / "epochs" / "last.ckpt"
    run(f"{TRAIN} trained", work, Boundaries(when=epoch.exists).install)
    assert epoch.exists() and not (work / "trained" / "checkpoint.safetensors").exists(), (
        "it was not killed in time"
    )
    gradcam = f"explain {SNN} --samples 40 --data images --out run/gradcam.h5"
    parts, whole = f"{RUN} parts --backend event --range 1/1", f"{TRAIN} whole"
    for line in (parts, whole, "merge run", "explain raster.h5 --out maps.sam.h5", gradcam):
        if line == "merge run":
            shutil.copytree(work / "parts", work / "run")
            shutil.copytree(work / "parts", work / "stopped")
            max((work / "stopped" / "raster.parts").glob("*.range")).unlink()
        assert (ended := run(line, work)).code == 0, ended
    make_outside(folder / "outside", work)


def _play(work: Path) -> None:
    """Make a network whose gains are those of its first step, since a chip has no others, and what
    it fires.
    """
    checkpoint = spikesam.load(work / SNN)
    layers = [
        replace(
            layer,
            inputs=tuple(replace(each, gain=each.gain[:1]) for each in layer.inputs),
        )
        for layer in checkpoint.network.layers
    ]
    network = replace(checkpoint.network, layers=tuple(layers))
    spikesam.save(replace(checkpoint, network=network), work / "steady.safetensors")
    line = "run --checkpoint steady.safetensors --samples 2 --figures 1 --data images --out played"
    ended = run(f"{line} --backend event --precision float32", work)
    assert ended.code == 0, ended
    shutil.copy(work / "played" / "raster.h5", work / "played.h5")
    (work / "mapping.csv").write_text("layer,core\nconv1,5\nconv1,9\n")


def examine(name: str, case: Path, done: Done) -> str:
    """Run a command in `case / "work"`, where something was done to what it reads;
    see how it ends.
    """
    adopt_orphans()
    entry, work, alone = ENTRIES[name], case / "work", own_mounts()
    make_hostile(work, case / "mark")
    good = {result: aside(identity, work / of) for result, of in entry.same.items()}
    before, outside = listing(work), Outside(case / "outside")
    ended = run(entry.line, work)
    if entry.tells and ended.code == 1 and not ended.error:
        ended = replace(ended, code=0)
    ended.check(reports=name.startswith("train"))
    outside.check(work, ended.output + ended.error, done.may_read and entry.follows)
    assert not (case / "mark").exists(), "executed: something in the current folder was imported"
    none("temporary files are left", os.listdir(os.environ["TMPDIR"]))
    nothing_runs()
    none(
        "left in shared memory",
        os.listdir(SHARED_MEMORY) if alone and SHARED_MEMORY.is_dir() else [],
    )
    after = listing(work)
    none(
        "locks or temporary files are left",
        {path for path in after - before if _temporary(Path(path).name)},
    )
    if ended.code:
        kept = [*entry.reads.split(), *["new"] * (name == "train")]  # what was finished
        made = {
            path for path in after - before if path.partition("/")[0] not in kept or path in kept
        }
        none(f"refused ({ended.line[:200]}), but there is", made)
        return Refused(ended.line)
    found = {result: aside(identity, work / result) for result in good}
    differ = [result for result in good if found[result] != good[result]]
    assert done.valid or not differ, f"done without complaint, but {', '.join(differ)} differ"
    return "another valid" if done.valid else "identical"


def listing(folder: Path) -> set[str]:
    """What lies in a folder; links are not followed."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def _temporary(name: str) -> bool:
    return TEMPORARY.fullmatch(name) is not None or name.endswith((".lock", ".tmp"))
