"""What a data set is: labelled images or events with a stable index, and where known the object's box and mask."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.images.events.events import Events
from pipeline.images.preprocessing import Box
from recordings.errors import InputError


@dataclass(frozen=True, eq=False)
class Object:
    """One more object in an image; the fields mean what :class:`Item`'s do."""

    label: int | None
    box: Box
    mask: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Item:
    """One image, or one recording of events, and what is known about it.

    Parameters
    ----------
    image : RGB, or events
    label : index into the data set's `classes`; None if unknown
    index : position in the whole split, whatever subset of classes is used; the key of an image's Poisson spikes
    name : short, for people
    box : (x0, y0, x1, y1) pixels of `image`, end exclusive
    mask : (H, W) bool, the object's pixels; of events, those it covered at any time
    others : further objects in the image, where known
    """

    image: Image.Image | Events
    label: int | None
    index: int
    name: str
    box: Box | None = None
    mask: NDArray[np.bool_] | None = None
    others: tuple[Object, ...] = ()


@dataclass(frozen=True)
class Entry:
    """What is known of an item before it is read; the fields mean what :class:`Item`'s do."""

    index: int
    label: int | None
    name: str


class Dataset(Protocol):
    """A sequence of :class:`Item`, which several threads may read; picklable, so that worker processes can, too."""

    @property
    def name(self) -> str:
        """Identity stored in files, such as "tiny-imagenet/val"; holds no path."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Identifiers (WordNet id, folder name, "digit-0"), in the order of the labels."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes for people."""
        ...

    @property
    def labels(self) -> Sequence[int | None]:
        """Label of every item, without decoding an image."""
        ...

    @property
    def skipped(self) -> int:
        """How many items were left out because their class was not asked for."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, position: int) -> Item: ...

    def entry(self, position: int) -> Entry:
        """What is known of an item, without reading it."""
        ...

    def __iter__(self) -> Iterator[Item]: ...


class Items(ABC):
    """A base for data sets, whose items can be iterated over by position."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, position: int) -> Item: ...

    def __iter__(self) -> Iterator[Item]:
        return map(self.__getitem__, range(len(self)))


@dataclass(frozen=True)
class Request:
    """What is asked of a data set that is opened by its name; each set reads the fields that concern it.

    Parameters
    ----------
    split, classes, size, digits, root, download : see :func:`pipeline.images.datasets.open_dataset`
    """

    split: str
    classes: Sequence[str] | None
    size: int | None
    digits: int
    root: Path
    download: bool


@dataclass(frozen=True)
class NamedSet:
    """A data set that is opened by its name; its module lists it in a dictionary `NAMED`, name -> set.

    Parameters
    ----------
    open : opens it
    generated : whether items are made when they are read: any number of them, and also a "selection" split
    """

    open: Callable[[Request], Dataset]
    generated: bool = False


@dataclass(frozen=True)
class ClassSelection:
    """Which items of a data set remain once only some classes are asked for.

    Parameters
    ----------
    classes : the classes asked for, in that order (it defines the labels), or all
    positions : of the remaining items
    labels : of the remaining items, indices into `classes`
    skipped : number of items left out
    """

    classes: tuple[str, ...]
    positions: tuple[int, ...]
    labels: tuple[int, ...]
    skipped: int


def select_classes(
    where: str, item_classes: Sequence[str], available: Sequence[str], classes: Sequence[str] | None
) -> ClassSelection:
    """Keep the items whose class is in `classes` (None: in `available`).

    Raises
    ------
    InputError : if none is left, or a class is named twice
    """
    kept = tuple(available if classes is None else classes)
    if len(set(kept)) < len(kept):
        raise InputError(f"{where}: classes named twice among {', '.join(kept)}; name each once")
    label_of = {name: label for label, name in enumerate(kept)}
    positions = tuple(i for i, name in enumerate(item_classes) if name in label_of)
    if not positions:
        raise InputError(
            f"{where}: none of its {len(item_classes):,} items is of a class asked for ({shorten(kept)}); "
            f"it has {shorten(available)}{did_you_mean(kept[0] if kept else '', available)}"
        )
    labels = tuple(label_of[item_classes[i]] for i in positions)
    return ClassSelection(kept, positions, labels, len(item_classes) - len(positions))


def shorten(names: Sequence[str], most: int = 5) -> str:
    """The first few names as text: "a, b, c, … (20 in all)"."""
    if not names:
        return "none"
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")


def did_you_mean(name: str, valid: Sequence[str]) -> str:
    """ "; did you mean 'x'?" with the nearest valid name, or nothing if none is near."""
    near = difflib.get_close_matches(name, valid, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
