"""Tiny-ImageNet in its official layout, as a folder or zip, whole or any part of it.

    wnids.txt                                 classes, a WordNet id per line, in order (optional)
    words.txt                                 id, tab, synonyms (optional)
    train/<wnid>/images/<wnid>_<number>.JPEG  train/<wnid>/<wnid>_boxes.txt: name x0 y0 x1 y1
    val/images/val_<number>.JPEG              val/val_annotations.txt: name wnid x0 y0 x1 y1

The files' boxes lie in 0 … 63 for 64-pixel images (a whole image is 0 0 63 63), so their ends are
inclusive.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass

from spikesam.common.errors import InputError, at
from spikesam.common.text import LONGEST_NAME, printable
from spikesam.pipeline.images.datasets.archive import Archive
from spikesam.pipeline.images.datasets.base import Dataset, Item
from spikesam.pipeline.images.preprocessing import Box, read_image

LARGEST_LIST = (
    1 << 23
)  # bytes of a text file of classes or boxes: the official ones have up to 2.6 MB
IMAGES_PER_CLASS = 500  # of the official training part
WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class _Record:
    file: str
    wnid: str
    box: Box | None


class TinyImageNet(Dataset):
    """One split of Tiny-ImageNet; classes are in the order of wnids.txt, indices those of the
    official split.
    """

    def __init__(self, archive: Archive, split: str) -> None:
        root = find_root(archive)
        if root is None:
            raise InputError(
                f"{archive.path}: not in the Tiny-ImageNet layout; expected "
                "train/<wnid>/images/*.JPEG or "
                "val/images/*.JPEG with val/val_annotations.txt in it"
            )
        self._archive = archive
        records = _train_records(archive, root) if split == "train" else _val_records(archive, root)
        if not records:
            raise InputError(f"{archive.path}: has no {split} part; expected {_PARTS[split]}")
        self._records = [record for _, record in records]
        wnids = {record.wnid for record in self._records}
        listed = [wnid for wnid in dict.fromkeys(_listed_wnids(archive, root)) if wnid in wnids]
        numbers = {
            wnid: number for number, wnid in enumerate([*listed, *sorted(wnids.difference(listed))])
        }
        words = _words(archive, root)
        super().__init__(
            f"tiny-imagenet/{split}",
            list(numbers),
            [numbers[record.wnid] for record in self._records],
            [index for index, _ in records],
            [words.get(wnid, wnid) for wnid in numbers],
        )

    def __getitem__(self, position: int) -> Item:
        record = self._records[position]
        image = read_image(self._archive.read(record.file), f"{self._archive.path}: {record.file}")
        return self._item(position, image, record.box)

    def content(self, position: int) -> str:
        """See :class:`.base.Dataset`; of its box, too, which lies in another file."""
        record = self._records[position]
        return hashlib.sha256(
            self._archive.read(record.file) + repr(record.box).encode()
        ).hexdigest()

    def name_of(self, position: int) -> str:
        """See :class:`.base.Dataset`."""
        return self._records[position].file.rsplit("/", 1)[1].rsplit(".", 1)[0]


_PARTS = {
    "train": "train/<wnid>/images/*.JPEG",
    "val": "val/val_annotations.txt and val/images/*.JPEG",
}


def find_root(archive: Archive) -> str | None:
    """The folder ("" or "name/") that holds the layout: the archive's root or one folder below it;
    None if neither.
    """
    for root in ["", *(f"{name}/" for name in archive.children(""))]:
        if "val_annotations.txt" in archive.children(f"{root}val"):
            return root
        if any(
            WNID.fullmatch(name) and "images" in archive.children(f"{root}train/{name}")
            for name in archive.children(f"{root}train")
        ):
            return root
    return None


def _train_records(archive: Archive, root: str) -> list[tuple[int, _Record]]:
    folders = {name: None for name in archive.children(f"{root}train") if WNID.fullmatch(name)}
    records = []
    for place, wnid in enumerate(dict.fromkeys([*_listed_wnids(archive, root), *folders])):
        if wnid not in folders:
            continue
        folder = f"{root}train/{wnid}"
        boxes = _lines(archive, folder, f"{wnid}_boxes.txt", fields=5)
        with at(f"{folder}/{wnid}_boxes.txt"):
            box_of = {fields[0]: _box(fields[1:5]) for fields in boxes}
        numbered_files = [
            (_number(file, f"{wnid}_"), file) for file in archive.children(f"{folder}/images")
        ]
        for number, file in sorted(
            numbered_files, key=lambda pair: (pair[0] is None, pair[0] or 0, pair[1])
        ):
            official = (
                None
                if number is None or number >= IMAGES_PER_CLASS
                else place * IMAGES_PER_CLASS + number
            )
            records.append((official, _Record(f"{folder}/images/{file}", wnid, box_of.get(file))))
    return _indexed(records)


def _val_records(archive: Archive, root: str) -> list[tuple[int, _Record]]:
    file, folder = f"{root}val/val_annotations.txt", f"{root}val/images"
    records = []
    for name, wnid, *box in _lines(archive, f"{root}val", "val_annotations.txt", fields=6):
        if "/" in name:
            raise InputError(
                f"{archive.path}: {file} names {printable(name, LONGEST_NAME)!r}, expected a file "
                f"in {folder}"
            )
        with at(file):
            record = _Record(f"{folder}/{name}", wnid, _box(box[:4]))
        records.append((_number(name, "val_"), record))
    present = {f"{folder}/{name}" for name in archive.children(folder)}
    return [(index, record) for index, record in _indexed(records) if record.file in present]


def _indexed(records: list[tuple[int | None, _Record]]) -> list[tuple[int, _Record]]:
    """The records by their official positions if each has its own; otherwise as they are listed."""
    official = {number: record for number, record in records if number is not None}
    return (
        sorted(official.items())
        if len(official) == len(records)
        else list(enumerate(record for _, record in records))
    )


def _listed_wnids(archive: Archive, root: str) -> list[str]:
    return [fields[0] for fields in _lines(archive, root, "wnids.txt", fields=1)]


def _words(archive: Archive, root: str) -> dict[str, str]:
    """WordNet id -> first synonym."""
    if "words.txt" not in archive.children(root):
        return {}
    lines = archive.read(f"{root}words.txt", LARGEST_LIST).decode("utf-8", "replace").splitlines()
    pairs = (line.split("\t", 1) for line in lines if "\t" in line)
    return {wnid: synonyms.split(",")[0].strip() for wnid, synonyms in pairs}


def _lines(archive: Archive, folder: str, file: str, fields: int) -> list[list[str]]:
    """The non-empty lines of a text file, split at white space; [] if it is not there."""
    if file not in archive.children(folder):
        return []
    name = f"{folder.rstrip('/')}/{file}".lstrip("/")
    text = archive.read(name, LARGEST_LIST).decode("utf-8", "replace")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        if len(line) < fields:
            raise InputError(
                f"{archive.path}: {name}, line {number}: got {len(line)} fields, expected {fields}"
            )
    return lines


def _box(fields: list[str]) -> Box:
    try:
        x0, y0, x1, y1 = (float(field) for field in fields)
    except ValueError:
        x0 = y0 = x1 = y1 = math.nan
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        shown = printable(" ".join(fields), LONGEST_NAME)
        raise InputError(f"got box {shown!r}, expected four finite numbers x0 y0 x1 y1")
    return (min(x0, x1), min(y0, y1), max(x0, x1) + 1, max(y0, y1) + 1)


def _number(file: str, prefix: str) -> int | None:
    """The number in "<prefix><number>.<extension>"."""
    match = re.fullmatch(
        rf"{re.escape(prefix)}([0-9]{{1,9}})\.\w+", file
    )  # more digits number nothing
    return int(match[1]) if match else None
