"""What an attacker does to a file, or to the folder of a run, before somebody else opens it."""

import hashlib
import io
import json
import os
import pickle
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import h5py
import tomli_w
import torch

from spikesam.pipeline.config.toml import read_toml
from tests.campaign.damage import damage
from tests.campaign.forge import reseal, unseal
from tests.campaign.formats import FORMATS
from tests.campaign.formats.checkpoints import edit_json
from tests.campaign.hostile import TEXTS
from tests.campaign.structured import CONTENT_EDITS, EDITS, edit, stored_elsewhere

DEVICES = (
    "/dev/zero",
    "/dev/full",
    "/dev/null",
    "/dev/random",
    "/dev/tty",
    "/proc/self/mem",
    "/proc/kmsg",
)
MADE = (
    "figures",
    "report.html",
    "summary.json",
    "sam.h5",
    "raster.h5",
    "raster.parts",
    "tensorboard",
    "metrics.csv",
)
FILES = ("copy", "rename", "swap", "odd", "tmp", "none")
OF_NAMES = {
    ".toml": "toml",
    ".safetensors": "checkpoints",
    ".png": "images",
    ".zip": "zips",
    ".bin": "events",
}
KINDS = ("content", "content", "content", "instead", "instead", "elsewhere")


@dataclass(frozen=True)
class Done:
    """What was done; whether results may differ from those of intact files; whether files outside
    may be read.
    """

    text: str
    valid: bool = False
    may_read: bool = False


class Runs:
    """An object whose unpickling leaves the mark of code that was run, see
    :func:`tests.campaign.entries.examine`.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("../mark",)


def attack(random: Random, work: Path, reads: list[str], outside: Path) -> Done:
    """Do one thing to what a command reads below `work`: files, and folders of runs, foreign as a
    whole.
    """
    folder = random.choice([None, *[work / name for name in reads if (work / name).is_dir()] * 3])
    every = [
        path
        for name in reads
        for path in (work / name, *(work / name).rglob("*"))
        if path.is_file()
    ]
    path = random.choice(every)
    what = random.choice(KINDS)
    if (
        folder is not None
        and what == "content"
        and (parts := folder / "raster.parts").is_dir()
        and random.random() < 0.3
    ):
        return edit_parts(parts, random)
    if what == "content":
        return spoil(
            random, path, random.choice([each for each in every if each.suffix == path.suffix])
        )
    if what == "instead":
        if folder is not None:
            path = random.choice(
                [*folder.rglob("*"), *(folder / name for name in (*MADE, ".lock", "gradcam.h5"))]
            )
        own = [outside / "secret.txt", outside / "images", *outside.rglob(path.name)]
        return instead(random, path, random.choice(every), random.choice(own), folder is not None)
    return elsewhere(random, path, outside, folder)


def spoil(random: Random, path: Path, other: Path) -> Done:
    """Damage a file, or edit what it says."""
    content = other.read_bytes()
    if path.suffix == ".h5":
        name = "maps" if "sam" in path.name or "cam" in path.name else "rasters"
    else:
        name = OF_NAMES.get(path.suffix, path.suffix)
    if name in FORMATS:
        done, valid = FORMATS[name].spoil(random, path, content)
        return Done(f"{path.name}: {done}", valid or not FORMATS[name].checksummed)
    if name in EDITS_OF and random.random() < 0.7:
        return EDITS_OF[name](random, path)
    data, done = damage(random, path.read_bytes(), content)
    path.write_bytes(data)
    return Done(f"{path.name}: {done}", path.suffix in (".nir", ".json"))


def spoil_json(random: Random, path: Path) -> Done:
    """Change a value, its type, or all."""
    if random.random() < 0.6:
        content = json.loads(path.read_text())
        done = edit_json(random, content)
        path.write_text(json.dumps(content))
        return Done(f"{path.name}: {done}", True)
    text = random.choice(
        ("", "{}", "[]", "null", "[" * 100000, '{"a":' * 100000, "1" * 5000, *TEXTS)
    )
    path.write_text(text, "utf-8", "surrogatepass")
    return Done(f"{path.name}: {text!r:.40}", True)


def spoil_nir(random: Random, path: Path) -> Done:
    """An edit that HDF5 allows."""
    return Done(f"{path.name}: {edit(path, random, EDITS)}", True)


def forge_epoch(random: Random, path: Path) -> Done:
    """Change a value, or put in an object whose unpickling runs code; half of these have their seal
    made anew.
    """
    sealed, harm = (
        random.random() < 0.5,
        random.choice((Runs(), {"epoch": 0, "state_dict": Runs()})),
    )
    if random.random() < 0.4:
        epoch, sealed = torch.load(path, weights_only=True), True
        done = edit_json(random, epoch)
        torch.save(epoch, path)
    elif (protocol := random.randrange(12)) < 6:
        done = f"code, protocol {protocol}"
        path.write_bytes(pickle.dumps(harm, protocol))
    else:
        done = "code"
        torch.save(harm, path, _use_new_zipfile_serialization=protocol < 9)
    if sealed:
        content = path.read_bytes()
        path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())
    if random.random() < 0.5:
        path.with_name("best.ckpt").write_bytes(path.read_bytes())
    return Done(f"{path.name}: {done}{'; sealed anew' * sealed}", sealed)


def forge_range(random: Random, path: Path) -> Done:
    """Change the file of a range, and make all its digests and seals anew."""
    record, sections = unseal(path)
    others = [unseal(each)[1] for each in sorted(path.parent.glob("0*.range")) if each != path]
    what, valid = random.choice(("record", "edit", "damage", "forged", "other", "gone")), False
    name = random.choice(sorted(sections) or ["record"])
    if what == "record" or name == "record":
        done = edit_json(random, record)
        valid = done.startswith(
            ("names", "scores", "seconds")
        )  # which are believed, and change no digest
    elif what == "other" and others:
        done, sections[name] = f"{name} of others", random.choice(others)[name]
    elif what == "gone":
        done, _ = f"no {name}", sections.pop(name)
    elif what == "damage":
        sections[name], done = damage(
            random, sections[name], sections[random.choice(sorted(sections))]
        )
    else:
        inner = path.with_name(".inner.sam.h5" if name == "maps" else ".inner.h5")
        inner.write_bytes(sections[name])
        if what == "forged":
            done, valid = FORMATS["maps" if name == "maps" else "rasters"].spoil(
                random, inner, sections[name]
            )
        else:
            done = edit(inner, random, random.choice((EDITS, CONTENT_EDITS)))
        sections[name] = inner.read_bytes()
        inner.unlink()
    reseal(path, record, sections)
    return Done(f"{path.name}, sealed anew: {name}: {done}", valid)


EDITS_OF = {".json": spoil_json, ".nir": spoil_nir, ".ckpt": forge_epoch, ".range": forge_range}


def edit_parts(parts: Path, random: Random) -> Done:
    """Copy, rename or swap files of ranges, or add or remove some."""
    ranges, what = sorted(parts.glob("0*.range")), random.choice(FILES)
    path, other = random.choice(ranges), random.choice(ranges)
    if what == "copy":
        shutil.copy(
            path,
            parts
            / (random.choice(("00000001", "99999999", "x", "-1", "00000016", "٣")) + ".range"),
        )
    elif what == "rename":
        path.rename(
            parts / random.choice(("00000005.range", "16.range", "0000.range", "1e1.range"))
        )
    elif what == "swap":
        content = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif what == "odd":
        (
            parts / random.choice(("notes.txt", "\x1b[2J.range", "a" * 200 + ".range", ".range"))
        ).write_text("mine")
    elif what == "tmp":
        (parts / random.choice(("00000000.range.tmp", "x.tmp", "job.json.tmp"))).mkdir()
    elif what == "none":
        shutil.rmtree(parts)
        parts.mkdir()
    return Done(f"{path.name}: {what}")


def instead(random: Random, path: Path, other: Path, own: Path, foreign: bool) -> Done:
    """Something else in the place of a file or folder: `own` is the user's, which no link in a
    foreign folder gives.
    """
    ways = [
        "gone",
        "fifo",
        "device",
        "socket",
        "folder",
        "empty",
        "dangling",
        "loop",
        "sparse",
        "other",
    ]
    what = random.choice(ways + ["link"] * 8 * foreign)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if what == "fifo":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to(device := random.choice(DEVICES))
        what = f"{what} {device}"
    elif what == "socket":
        here = os.open(path.parent, os.O_RDONLY)  # the path of a socket must be short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)
    elif what == "folder":
        (path / random.choice(("x", "raster.h5"))).mkdir(parents=True)
    elif what == "empty":
        path.touch()
    elif what in ("dangling", "loop"):
        path.symlink_to("missing" if what == "dangling" else path.name)
    elif what == "sparse":
        with path.open("wb") as file:
            file.truncate(random.choice((1 << 30, 1 << 40)))
    elif what == "other":
        path.write_bytes(other.read_bytes() if other.exists() else b"")
    elif what == "link":
        path.symlink_to(own)
    return Done(f"{path.name}: {what}", not foreign)


def elsewhere(random: Random, path: Path, outside: Path, folder: Path | None) -> Done:
    """A file that says that what it holds lies outside: in a configuration, in HDF5, in a section
    of a range.
    """
    secrets = [
        outside / name
        for name in ("secret.txt", "images", "images/apple", "snn.safetensors", "run/raster.h5")
    ]
    config = folder / "config.toml" if folder is not None else path
    if config.suffix == ".toml" and config.exists() and (path == config or random.random() < 0.4):
        content = read_toml(config)
        said = str(random.choice((*secrets, *map(Path, DEVICES))))
        section, key = random.choice(
            (("run", "data"), ("run", "checkpoint"), ("data", "source"), ("conversion", "ann"))
        )
        content.setdefault(section, {})[key] = [said] if (section, key) == ("run", "data") else said
        config.write_text(tomli_w.dumps(content))
        return Done(f"{config.name}: {section}.{key} = {said}", True, may_read=True)
    if path.suffix == ".range":
        record, sections = unseal(path)
        name = random.choice(sorted(sections))
        image = io.BytesIO(sections[name])
        done = _leads_out(random, image, random.choice(secrets))
        reseal(path, record, sections | {name: image.getvalue()})
        return Done(f"{path.name}: {name}: {done}")
    if path.suffix in (".h5", ".nir"):
        return Done(f"{path.name}: {_leads_out(random, path, random.choice(secrets))}", True)
    return spoil(random, path, path)


def _leads_out(random: Random, source: Any, secret: Path) -> str:
    with h5py.File(source, "r+") as file:
        return stored_elsewhere(random, file, str(secret))
