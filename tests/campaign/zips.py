"""Data sets in the layout of Tiny-ImageNet, as zips and as folders: opened, and every image and name read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from random import Random

import numpy as np

from .damage import damage
from .hostile import printable_text
from .inflated import zip_bomb
from .materials import CLASSES, small_network
from .rasters import sha
from .subject import Content, FileSubject

WNIDS = ("n00000001", "n00000002")


def members() -> dict[str, bytes]:
    """The files of a small data set."""
    from PIL import Image

    random, found = np.random.default_rng(0), dict[str, bytes]()
    lines = []
    for number in range(4):
        target = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (10, 10, 3), np.uint8)).save(target, "JPEG")
        found[f"tiny/val/images/val_{number}.JPEG"] = target.getvalue()
        lines.append(f"val_{number}.JPEG\t{WNIDS[number % 2]}\t0\t1\t5\t{6 + number}\n")
    found["tiny/val/val_annotations.txt"] = "".join(lines).encode()
    found["tiny/wnids.txt"] = "\n".join(WNIDS).encode()
    found["tiny/words.txt"] = "".join(
        f"{wnid}\t{name}, a fruit\n" for wnid, name in zip(WNIDS, CLASSES, strict=True)
    ).encode()
    return found


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of files."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return target.getvalue()


class Zips(FileSubject):
    """Damaged zips, and good zips of damaged or hostile members; names and folders hold no digests."""

    name = "zips"
    weight = 2.0
    modules = ("pipeline.images.samples", "pipeline.networks.checkpoint", "spikesam")
    checksummed = False

    def originals(self, base: Path) -> list[Path]:
        """See :class:`FileSubject`."""
        for name, method in (("deflated", zipfile.ZIP_DEFLATED), ("stored", zipfile.ZIP_STORED)):
            (base / f"{name}.zip").write_bytes(packed(members(), method))
        return [base / "deflated.zip", base / "stored.zip"]

    def read(self, path: Path) -> Content:
        """See :class:`FileSubject`."""
        import spikesam
        from pipeline.images.samples import choose_samples

        prepare = spikesam.Preprocessing(8, 8, (0.5,) * 3, (0.25,) * 3)
        checkpoint = spikesam.Checkpoint(small_network(), prepare, WNIDS, CLASSES)
        samples = choose_samples((str(path),), checkpoint, 10, 0, False)
        return {
            "name": samples.name,
            "table": sha(samples.table.index, samples.table.label, samples.boxes),
            "names": sha(samples.names),
            "pictures": sha(np.asarray(samples.pictures)),
        }

    def mutate(self, path: Path, random: Random, number: int, other: bytes) -> tuple[str, bool]:
        """See :class:`FileSubject`."""
        choice = random.random()
        if choice < 0.5:
            data, done = damage(random, path.read_bytes(), other)
            path.write_bytes(data)
            return done, False
        if choice < 0.55:
            return bomb(path, random), False
        files = members()
        done = edit_members(files, random)
        path.write_bytes(packed(files, random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))))
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
    if what == "line":
        name = random.choice([each for each in sorted(files) if each.endswith(".txt")])
        lines = files[name].decode().splitlines()
        place = random.randrange(len(lines))
        cells = lines[place].split("\t")
        cells[random.randrange(len(cells))] = printable_text(random)
        lines[place] = random.choice(("\t".join(cells), "\t".join(cells), "", lines[place] + "\tmore"))
        files[name] = "\n".join(lines).encode()
        return f"{name}, line {place + 1}: {lines[place]!r:.80}"
    new = random.choice(
        (
            "tiny/val/images/val_9223372036854775808.JPEG",
            "tiny/val/images/val_-1.JPEG",
            "../val_7.JPEG",
            "/abs.JPEG",
            "tiny/train/n00000001/images/n00000001_0.JPEG",
            "tiny/val/images/" + "9" * 5000 + ".JPEG",
            f"tiny/val/images/{printable_text(random)[:3000]}.JPEG",
            "a/" * 20000,
            "a/" * 32000,
        )
    )
    content = files[name]
    if what == "name":
        del files[name]
    files[new] = content
    if len(new) > 50000:
        files |= {f"{number}/{new}": content for number in range(20)}
    return f"{name} {'renamed to' if what == 'name' else 'also as'} {new!r:.80}"


def bomb(path: Path, random: Random) -> str:
    """Members of zeros, of more bytes than a machine may have; sizes are said, or hidden."""
    size = random.choice((300 << 20, 1200 << 20, 2400 << 20))
    name = random.choice(("val_0.JPEG", "val_annotations.txt", "words.txt", "wnids.txt"))
    folder = {"val_0.JPEG": "tiny/val/images/", "val_annotations.txt": "tiny/val/"}.get(name, "tiny/")
    declared = random.choice((None, None, 100))
    hostile = zip_bomb([folder + name], size, declared)
    path.write_bytes(hostile)
    if random.random() < 0.8:  # among good members
        with zipfile.ZipFile(path, "a") as made:
            for each, content in members().items():
                if each != folder + name:
                    made.writestr(each, content)
    return f"{folder}{name} of {size >> 20} MiB of zeros in {len(hostile):,} bytes, said to be {declared or size}"
