"""The first samples of a raster as people see them: pictures, names, boxes, beside it in a bounded
`pictures.zip`.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from spikesam.common.disk import write_file
from spikesam.common.errors import OTHER_OUT, InputError, at
from spikesam.common.files import open_file
from spikesam.common.models import Many, parse_model
from spikesam.common.stamp import Stamp
from spikesam.common.text import LONGEST_NAME, printable, told_apart
from spikesam.pipeline.images.datasets.archive import ZipArchive
from spikesam.pipeline.images.events.binning import EventBinning, picture_of
from spikesam.pipeline.images.preprocessing import Box, read_image
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.batch import on_cpu
from spikesam.recordings.raster.reader import RasterReader

if TYPE_CHECKING:
    from spikesam.pipeline.images.samples import DatasetSamples

NAME = "pictures.zip"
ABOUT = "samples.json"  # the first member
NAME_OFFSET = 30  # bytes before the name of a zip's first member
STAMP = Stamp("spikesam-pictures", 1, "the pictures of a run")
MOST = 250  # samples
LARGEST = 8_000_000  # bytes of the pixels of all of them, before they are packed
LARGEST_ABOUT, MOST_MARKS = 1 << 24, 1 << 18  # bytes, and marks of JSON: names of 65,536 classes
EXPECTED = "images (N, C, H, W) with 1, 2 or 3 channels, (N, H, W, 3), or (N, H, W)"

Normalisation = tuple[ArrayLike, ArrayLike]  # mean, standard deviation


@dataclass(frozen=True, eq=False)
class Seen:
    """A sample as people see it; what is unknown is None."""

    name: str
    picture: NDArray[np.uint8] | None = None  # (H, W, 3), as the network saw it
    box: Box | None = None  # of the object
    mask: NDArray[np.bool_] | None = None  # (H, W), the object's pixels

    @property
    def image(self) -> NDArray[np.float32] | None:
        """The picture in 0 … 1."""
        return None if self.picture is None else self.picture.astype(np.float32) / np.float32(255)


@dataclass(frozen=True, eq=False)
class Pictures:
    """The first samples of a raster, and the names of its classes, or none; pictures of `events`
    are sums over time.
    """

    seen: tuple[Seen, ...] = ()
    class_names: tuple[str, ...] = ()
    events: bool = False

    def __len__(self) -> int:
        return len(self.seen)

    def __bool__(self) -> bool:
        """True if anything is known, be it names without pictures."""
        return bool(self.seen or self.class_names)

    def __getitem__(self, sample: int) -> Seen:
        return self.seen[sample]

    def class_name(self, number: int) -> str | None:
        """A class as people see it; None of -1, which is unknown."""
        if number < 0:
            return None
        return self.class_names[number] if number < len(self.class_names) else f"class {number}"

    @classmethod
    def of(cls, samples: DatasetSamples, class_names: Sequence[str]) -> Pictures:
        """Those of samples that were read, as many as are kept."""
        return cls.first(
            seen_of(samples, MOST), class_names, isinstance(samples.preparation, EventBinning)
        )

    @classmethod
    def first(
        cls, shown_samples: Sequence[Seen], class_names: Sequence[str], events: bool = False
    ) -> Pictures:
        """The first of some samples, as many as are kept."""
        size = max(
            (
                shown_sample.picture.nbytes
                for shown_sample in shown_samples
                if shown_sample.picture is not None
            ),
            default=1,
        )
        return cls(
            tuple(shown_samples[: min(MOST, max(1, LARGEST // size))]), tuple(class_names), events
        )


def seen_of(samples: DatasetSamples, max_samples: int) -> list[Seen]:
    """The first samples that were read, at most so many; the picture of a single column shows its
    mask at all steps.
    """
    columns = zip(
        samples.names[:max_samples], samples.pictures, samples.boxes, samples.masks, strict=False
    )
    return [
        Seen(name, picture, box, None if mask is None else np.broadcast_to(mask, picture.shape[:2]))
        for name, picture, box, mask in columns
    ]


def as_pictures(images: Any, normalisation: Normalisation | None) -> NDArray[np.uint8]:
    """Images (N, C, H, W), (N, H, W, 3) or (N, H, W) for people: (N, H, W, 3) uint8."""
    array = np.asarray(on_cpu(images))
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] == 3 and array.shape[1] not in (1, 2, 3):
        array = np.moveaxis(array, 3, 1)
    if (
        array.ndim != 4
        or array.shape[1] not in (1, 2, 3)
        or not array.size
        or array.dtype.kind not in "buif"
    ):
        raise InputError(f"got {array.shape} {array.dtype}, expected {EXPECTED}")
    if array.shape[1] == 2:
        return np.stack([picture_of(np.abs(image)[None]) for image in array.astype(np.float64)])
    if array.dtype.kind in "ui":
        pixels = np.clip(array, 0, 255).astype(np.uint8)
    else:
        pixels = np.stack([_pixels(image, normalisation) for image in array.astype(np.float64)])
    return np.ascontiguousarray(
        np.broadcast_to(np.moveaxis(pixels, 1, 3), (len(array), *array.shape[2:], 3))
    )


def _pixels(image: NDArray[np.float64], normalisation: Normalisation | None) -> NDArray[np.uint8]:
    """(C, H, W) of one image."""
    image = np.nan_to_num(image, posinf=0, neginf=0)
    if normalisation is not None:
        mean, std = (
            np.reshape(np.asarray(numbers, np.float64), (-1, 1, 1)) for numbers in normalisation
        )
        image = np.clip(image * std + mean, 0, 1)
    elif image.min() < 0 or image.max() > 1:
        image = (image - image.min()) / max(float(np.ptp(image)), np.finfo(np.float64).tiny)
    return np.rint(image * 255).astype(np.uint8)


Name = Annotated[str, Field(max_length=LONGEST_NAME)]


class _Sample(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: Name
    box: tuple[float, float, float, float] | None
    picture: bool
    mask: bool


class _About(BaseModel):
    model_config = ConfigDict(extra="forbid")

    raster: str
    events: bool
    class_names: Many[Name]
    samples: Annotated[Many[_Sample], Field(max_length=MOST)]


def refuse_other_zip(folder: Path) -> None:
    """Refuse a folder whose `pictures.zip` was written by something else: it would be replaced."""
    path = folder / NAME
    if not os.path.lexists(path):
        return
    first = b""  # header and name of the first member
    if path.is_file():
        with open_file(path) as file:
            first = file.read(NAME_OFFSET + len(ABOUT))
    if first[:4] != b"PK\3\4" or first[NAME_OFFSET:] != ABOUT.encode():
        raise InputError(f"{path}: is not of spikesam, and would be replaced", OTHER_OUT)


def write_pictures(folder: Path, raster: str, pictures: Pictures) -> None:
    """Write the file of a folder anew, whole; `raster` is the digest of the spikes, or of the
    network without any.
    """
    samples = [
        _Sample(
            name=printable(shown_sample.name, LONGEST_NAME),
            box=shown_sample.box,
            picture=shown_sample.picture is not None,
            mask=shown_sample.mask is not None,
        )
        for shown_sample in pictures.seen
    ]
    description = _About(
        raster=raster,
        events=pictures.events,
        class_names=[printable(name, LONGEST_NAME) for name in pictures.class_names],
        samples=samples,
    )
    with zipfile.ZipFile(content := io.BytesIO(), "w", zipfile.ZIP_STORED) as file:
        file.writestr(ABOUT, json.dumps({**STAMP.attributes, **description.model_dump()}))
        for number, shown_sample in enumerate(pictures.seen):
            if shown_sample.picture is not None:
                file.writestr(_picture(number), _png(shown_sample.picture))
            if shown_sample.mask is not None:
                file.writestr(_mask(number), _png(shown_sample.mask.astype(np.uint8) * 255))
    write_file(folder / NAME, content.getvalue())


def _png(pixels: NDArray[np.uint8]) -> bytes:
    Image.fromarray(pixels).save(file := io.BytesIO(), "PNG", compress_level=1)
    return file.getvalue()


def _picture(sample: int) -> str:
    return f"{sample:05d}.png"


def _mask(sample: int) -> str:
    return f"{sample:05d}.mask.png"


def read_pictures(
    folder: Path, rasters: Collection[str], max_samples: int = MOST
) -> Pictures | None:
    """The pictures of the raster known by some digests, its first samples; None without a file;
    refuses others.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    archive = ZipArchive(path)
    text = archive.read(ABOUT, LARGEST_ABOUT)
    with at(f"{path}: {ABOUT}"):
        description = parse_model(_About, text, MOST_MARKS, STAMP)
    if description.raster not in rasters:
        raise InputError(f"{path}: holds pictures of another raster")
    shown_samples, spare = list[Seen](), LARGEST
    for number, sample in enumerate(description.samples[:max_samples]):
        picture, mask = (
            np.asarray(read_image(archive.read(name(number)), f"{path}: {name(number)}"))
            if present
            else None
            for name, present in ((_picture, sample.picture), (_mask, sample.mask))
        )
        spare -= 0 if picture is None else picture.nbytes
        if spare < 0 and number:
            raise InputError(f"{path}: more than {LARGEST:,} bytes of pixels")
        if mask is not None and (picture is None or mask.shape != picture.shape):
            raise InputError(f"{path}: {_mask(number)}: has another size than its picture")
        shown_samples.append(
            Seen(
                printable(sample.name),
                picture,
                sample.box,
                None if mask is None else mask[..., 0] >= 128,
            )
        )
    return Pictures(
        tuple(shown_samples), tuple(told_apart(description.class_names)), description.events
    )


def pictures_beside(source: RasterReader | MapReader, max_samples: int = MOST) -> Pictures | None:
    """The pictures of the first samples that lie beside a raster, or beside its maps; None if there
    are none of it.
    """
    if source.path is None:
        return source.beside
    try:
        return read_pictures(source.path.parent, source.known_as, max_samples)
    except InputError:
        return None
