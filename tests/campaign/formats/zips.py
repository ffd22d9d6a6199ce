"""Data sets in the layout of Tiny-ImageNet, as zips: opened, and every image and name read; they
hold no digests.
"""

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

import spikesam
from spikesam.pipeline.networks.samples import choose_samples
from tests.campaign.damage import damage
from tests.campaign.formats.base import Content, Format, sha
from tests.campaign.formats.checkpoints import CLASSES, small_checkpoint
from tests.campaign.hostile import PRINTABLE
from tests.campaign.inflated import zip_bomb

WNIDS = ("n00000001", "n00000002")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)


def members() -> dict[str, bytes]:
    """The files of a small data set."""
    random, found = np.random.default_rng(0), dict[str, bytes]()
    lines = []
    for number in range(4):
        target = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (10, 10, 3), np.uint8)).save(target, "JPEG")
        found[f"tiny/val/images/val_{number}.JPEG"] = target.getvalue()
        lines.append(f"val_{number}.JPEG\t{WNIDS[number % 2]}\t0\t1\t5\t{6 + number}\n")
    found["tiny/val/val_annotations.txt"] = "".join(lines).encode()
    found["tiny/wnids.txt"] = "\n".join(WNIDS).encode()
    words = (f"{wnid}\t{name}, a fruit\n" for wnid, name in zip(WNIDS, CLASSES, strict=True))
    return found | {"tiny/words.txt": "".join(words).encode()}


def add(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Add members to a zip, which need not be there."""
    with zipfile.ZipFile(path, "a", method) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def checkpoint() -> spikesam.Checkpoint:
    """One that knows its classes."""
    return replace(small_checkpoint(), classes=WNIDS, class_names=CLASSES)


def zips(base: Path) -> list[Path]:
    """Stored and deflated."""
    return [add(base / "stored.zip", members(), METHODS[0]), add(base / "deflated.zip", members())]


def read(path: Path) -> Content:
    """Every image, class and box."""
    samples = choose_samples((str(path),), checkpoint(), 10, 0, False)
    content = {
        "name": samples.name,
        "table": sha(samples.table.index, samples.table.label, samples.boxes),
    }
    return content | {"names": sha(samples.names), "pictures": sha(np.asarray(samples.pictures))}


def edit(random: Random, path: Path) -> tuple[str, bool]:
    """A good zip of a member that is damaged, hostile, or a bomb."""
    if random.random() < 0.1:
        return bomb(path, random), False
    files = members()
    done = edit_members(files, random)
    path.unlink()
    add(path, files, random.choice(METHODS))
    return done, False


def edit_members(files: dict[str, bytes], random: Random) -> str:
    """Damage one file of the data set, or its name; or add one."""
    name = random.choice(sorted(files))
    what = random.choice(("content", "content", "name", "gone", "more", "line"))
    if what == "gone":
        del files[name]
        return f"{name} missing"
    if what == "content":
        files[name], done = damage(random, files[name], b"".join(files.values()))
        return f"{name}: {done}"
    odd = random.choice(PRINTABLE)
    if what == "line":
        name = random.choice([each for each in sorted(files) if each.endswith(".txt")])
        lines = files[name].decode().splitlines()
        place = random.randrange(len(lines))
        cells = lines[place].split("\t")
        cells[random.randrange(len(cells))] = odd
        lines[place] = random.choice(
            ("\t".join(cells), "\t".join(cells), "", lines[place] + "\tmore")
        )
        files[name] = "\n".join(lines).encode()
        return f"{name}, line {place + 1}: {lines[place]!r:.80}"
    numbers = ("val_9223372036854775808", "val_-1", "9" * 5000, odd[:3000])
    elsewhere = ("../val_7.JPEG", "/abs.JPEG", "tiny/train/n00000001/images/n00000001_0.JPEG")
    deep = ("a/" * 20000, "a/" * 32000)
    new = random.choice(
        (*(f"tiny/val/images/{number}.JPEG" for number in numbers), *elsewhere, *deep)
    )
    content = files.pop(name) if what == "name" else files[name]
    files[new] = content
    if len(new) > 50000:
        files |= {f"{number}/{new}": content for number in range(20)}
    return f"{name} {'renamed to' if what == 'name' else 'also as'} {new!r:.80}"


def bomb(path: Path, random: Random) -> str:
    """Members of zeros, of more bytes than a machine may have; sizes are said, or hidden."""
    size, declared = (
        random.choice((300 << 20, 1200 << 20, 2400 << 20)),
        random.choice((None, None, 100)),
    )
    name = random.choice(
        [each for each in sorted(members()) if "_0" in each or each.endswith(".txt")]
    )
    path.write_bytes(zip_bomb([name], size, declared))
    if random.random() < 0.8:  # among good members
        add(
            path, {each: content for each, content in members().items() if each != name}, METHODS[0]
        )
    return f"{name} of {size >> 20} MiB of zeros, said to be {declared or size}"


ZIPS = Format(zips, read, edit, checksummed=False)
