"""The images or events of a run: :func:`choose` them from a data set, read and prepare them, and encode them."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import InputBatch
from spikesam.backends.network import Network
from spikesam.pipeline.images.datasets import Dataset, Entry, Item, open_dataset
from spikesam.pipeline.images.datasets.cluttered_digits import CLUTTERED_DIGITS
from spikesam.pipeline.images.datasets.saccade_digits import NAME as SACCADE_DIGITS
from spikesam.pipeline.images.encoding import encode
from spikesam.pipeline.images.events.binning import EventBinning
from spikesam.pipeline.images.events.packed import PackedEvents
from spikesam.pipeline.images.matching import KnownClasses
from spikesam.pipeline.images.preprocessing import Box, Preprocessing, box_mask
from spikesam.pipeline.images.selection import balanced_order
from spikesam.recordings.disk import readable, reason
from spikesam.recordings.errors import InputError
from spikesam.recordings.parallel import cores, in_order
from spikesam.recordings.schema import SampleTable
from spikesam.recordings.text import brief

READERS = 4  # threads that read images at most; each may hold a large one
SMALL = 1 << 16  # pixels; a smaller image is unpacked faster without threads


class Trained(Protocol):
    """What data sets ask of a checkpoint: the classes that it knows, and how its input is prepared."""

    @property
    def network(self) -> Network: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def preprocessing(self) -> Preprocessing | EventBinning | None: ...  # noqa: D102
    @property
    def preparation(self) -> Preprocessing | EventBinning: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Samples:
    """Images or events as a network sees them, in the order they are simulated; each was read and prepared once.

    Parameters
    ----------
    name : identity of the data set, for files
    table : index in the data set and label; -1 where the class is unknown
    names : short, of the images, for people
    pictures : (N, H, W, 3) uint8 — images resized and cropped, or events summed over time
    boxes : of the object in the picture; None if unknown or cropped away
    masks : (H, W) bool, the object's pixels, from its mask or else its box; None if unknown or cropped away
    preprocessing : how they were prepared
    contents : SHA-256, hexadecimal, of what each was read from; "" for what has no file
    skipped : items left out because the checkpoint does not know their class
    events : binned events, the input of the network; None if the samples are images
    """

    name: str
    table: SampleTable
    names: tuple[str, ...]
    pictures: NDArray[np.uint8]
    boxes: tuple[Box | None, ...]
    masks: tuple[NDArray[np.bool_] | None, ...]
    preprocessing: Preprocessing | EventBinning
    contents: tuple[str, ...]
    skipped: int = 0
    events: PackedEvents | None = None

    __repr__ = brief

    def __len__(self) -> int:
        return len(self.table)

    def part(self, positions: range) -> Samples:
        """Some consecutive samples."""
        chosen = slice(positions.start, positions.stop)
        fields = {
            name: getattr(self, name)[chosen] for name in ("table", "names", "pictures", "boxes", "masks", "contents")
        }
        return replace(self, **fields, events=None if self.events is None else self.events.part(chosen))

    def known_labels(self) -> NDArray[np.int32]:
        """(N,) the class of every sample.

        Raises
        ------
        InputError : if one is unknown
        """
        if self.table.label.min() < 0:
            raise InputError(f"{self.name}: holds {self.kind} without labels, expected labelled ones")
        return self.table.label

    def images(self, chosen: Sequence[int] | slice = slice(None)) -> NDArray[np.float32]:
        """The chosen images as the network's encoder takes them: (B, C, H, W) float32."""
        return self.image_preprocessing.normalised(self.pictures[chosen])

    @property
    def image_preprocessing(self) -> Preprocessing:
        """How images were prepared.

        Raises
        ------
        InputError : if the samples are events
        """
        if isinstance(self.preprocessing, EventBinning):
            raise InputError(f"{self.name}: holds events, expected images")
        return self.preprocessing

    def encoded(self, chosen: Sequence[int], network: Network, seed: int, batch_size: int) -> Iterator[InputBatch]:
        """The chosen samples in batches: bits of events, or images as `encode` gives."""
        for batch in batches(chosen, batch_size):
            if self.events is None:
                yield encode(network, self.images(batch), seed, self.table.index[batch])
            else:
                yield self.events.spikes(batch, network.timesteps)

    def notes(self, asked: int) -> list[str]:
        """Lines for the user: what was skipped, fewer labelled items than were asked for, events that were merged."""
        found = []
        if self.skipped:
            found.append(f"skipped {self.skipped:,} {self.kind} of classes that the checkpoint does not know")
        if len(self) < asked and self.table.label.max() >= 0:
            found.append(f"{self.name} has {len(self)} {self.kind} of these classes, fewer than the {asked} asked for")
        if self.events is not None:
            found.append(self.events.note)
        return found

    @property
    def kind(self) -> str:
        """Either "images" or "recordings", of events."""
        return "images" if self.events is None else "recordings"


def batches(chosen: Sequence[int], size: int) -> Iterator[list[int]]:
    """The chosen samples, `size` at a time; fewer in the last batch."""
    for start in range(0, len(chosen), size):
        yield list(chosen[start : start + size])


def _scratch(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An array in a temporary file without a name.

    The disk's blocks are taken at once: on a disk that fills up later, writing to the array would kill the process.
    """
    size = math.prod(shape)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):  # Linux
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, np.uint8, "w+", shape=shape)
    except OSError as error:
        raise InputError(
            f"{tempfile.gettempdir()}: cannot hold {readable(size)} of prepared pictures ({reason(error)}); "
            "free space there, take fewer samples, or set TMPDIR to another folder"
        ) from error


def _mask(item: Item, box: Box | None, preprocessing: Preprocessing | EventBinning) -> NDArray[np.bool_] | None:
    if item.mask is not None:
        mask = preprocessing.mask(item.mask)
        return mask if mask.any() else None
    return None if box is None else box_mask(box, (preprocessing.height, preprocessing.width))


ReadSamples = Callable[[range], Samples]  # positions -> those samples, prepared


@dataclass(frozen=True, eq=False)
class Chosen:
    """The images or recordings of a run, in its order, before they are read.

    Parameters
    ----------
    dataset : the set they are in
    positions : (N,) of the items in `dataset`
    preprocessing : how the items will be prepared
    """

    dataset: Dataset
    positions: NDArray[np.int64]
    preprocessing: Preprocessing | EventBinning

    __repr__ = brief

    def __len__(self) -> int:
        return len(self.positions)

    @cached_property
    def table(self) -> SampleTable:
        """Index in the data set and label of every item; -1 where the class is unknown."""
        labels = [-1 if entry.label is None else entry.label for entry in self._entries]
        return SampleTable(np.array([entry.index for entry in self._entries], np.int64), np.array(labels, np.int32))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Short names of all items, for people."""
        return tuple(entry.name for entry in self._entries)

    def contents(self, advance: Callable[[int], None] = lambda images: None) -> tuple[str, ...]:
        """SHA-256, hexadecimal, of what each item is read from, none of which is decoded.

        Parameters
        ----------
        advance : called with the number of items just read

        Raises
        ------
        InputError : if one cannot be read
        """
        found = []
        with closing(in_order(self.dataset.content, self.positions.tolist(), min(cores(), READERS))) as digests:
            for digest in digests:
                found.append(digest)
                advance(1)
        return tuple(found)

    @cached_property
    def _entries(self) -> list[Entry]:
        return [self.dataset.entry(position) for position in self.positions.tolist()]

    def read(self, part: slice | range = slice(None), advance: Callable[[int], None] = lambda images: None) -> Samples:
        """Read and prepare every item once, so that a broken one is found before anything starts.

        Images are unpacked and resized in threads, which release Python's lock meanwhile, unless the first image is
        small. The first broken image is reported. The pictures lie in a temporary file without a name, so that the
        system may take back their memory.

        Parameters
        ----------
        part : of the items, at least one; all if not given
        advance : called with the number of items just read

        Raises
        ------
        InputError : if an item cannot be read, or the network does not take such items
        """
        some, prepare = slice(part.start, part.stop), self.preprocessing
        positions = self.positions[some]
        pictures = _scratch((len(positions), prepare.height, prepare.width, 3))
        events = PackedEvents.empty(len(positions), prepare) if isinstance(prepare, EventBinning) else None
        boxes, masks, contents = [], [], []

        def prepared(place: int, item: Item) -> tuple[Box | None, NDArray[np.bool_] | None, str]:
            pictures[place] = prepare.picture(item.image) if events is None else events.add(place, item.image)
            box = None if item.box is None else prepare.box(item.box, item.image.size)
            return box, _mask(item, box, prepare), self.dataset.content(int(positions[place]))

        def read(place: int) -> tuple[Box | None, NDArray[np.bool_] | None, str]:
            return prepared(place, self.dataset[int(positions[place])])

        first = self.dataset[int(positions[0])]
        small = events is not None or math.prod(first.image.size) < SMALL
        workers = 1 if small else min(cores(), READERS, len(positions))
        with closing(in_order(read, range(1, len(positions)), workers)) as others:
            for box, mask, content in chain([prepared(0, first)], others):
                boxes.append(box)
                masks.append(mask)
                contents.append(content)
                advance(1)
        return Samples(
            *(self.dataset.name, self.table[some], self.names[some], pictures, tuple(boxes), tuple(masks)),
            *(prepare, tuple(contents), self.dataset.skipped, events),
        )


def choose(
    source: str | Sequence[str] | None,
    checkpoint: Trained,
    count: int,
    seed: int,
    download: bool = False,
    split: str = "val",
) -> Chosen:
    """The first `count` images or recordings of a seeded class-balanced order, as many as there are; reads none.

    Items of classes that the checkpoint does not know are skipped, see `KnownClasses`.

    Parameters
    ----------
    source : see `open_dataset`; None is the set that needs no download, "saccade-digits"
        for a network that takes events and "cluttered-digits" for others

    Raises
    ------
    InputError : if the data cannot be read, or none is of a class that the checkpoint knows
    """
    preparation = checkpoint.preparation
    if source is None:
        source = SACCADE_DIGITS if isinstance(preparation, EventBinning) else CLUTTERED_DIGITS
    everything = open_dataset(source, split, download=download)
    dataset = KnownClasses(everything, checkpoint.classes, checkpoint.class_names)
    if not len(dataset):
        raise InputError(f"{dataset.name}: holds nothing")
    return Chosen(dataset, balanced_order(dataset.labels, seed)[:count], preparation)


def choose_samples(
    source: str | Sequence[str] | None,
    checkpoint: Trained,
    count: int,
    seed: int,
    download: bool = False,
    split: str = "val",
    advance: Callable[[int], None] = lambda images: None,
) -> Samples:
    """Choose items, see :func:`choose`, and read them, see :meth:`Chosen.read`."""
    return choose(source, checkpoint, count, seed, download, split).read(advance=advance)
