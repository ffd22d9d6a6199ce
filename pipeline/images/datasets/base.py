"""What a data set is: labelled images or events with a stable index, and where known the object's box and mask."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spikesam.pipeline.images.events.events import Events
from spikesam.pipeline.images.preprocessing import Box
from spikesam.recordings.errors import InputError
from spikesam.recordings.text import LONGEST_NAME, printable


@dataclass(frozen=True, eq=False)
class Object:
    """One more object in an image; the fields mean what :class:`Item`'s do."""

    label: int | None
    box: Box
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Entry:
    """What is known of an item before it is read.

    Parameters
    ----------
    index : position in the whole split, whatever subset of classes is used; the key of an image's Poisson spikes
    label : index into the data set's `classes`; None if unknown
    name : short, for people
    """

    index: int
    label: int | None
    name: str


@dataclass(frozen=True, eq=False)
class Item(Entry):
    """One image, or one recording of events, and what is known about it.

    Parameters
    ----------
    index, label, name : see :class:`Entry`
    image : RGB, or events
    box : (x0, y0, x1, y1) pixels of `image`, end exclusive
    mask : (H, W) bool, the object's pixels; of events, those it covered at any time
    others : further objects in the image, where known
    """

    image: Image.Image | Events
    box: Box | None = None
    mask: NDArray[np.bool_] | None = None
    others: tuple[Object, ...] = ()


@dataclass(frozen=True)
class Choice:
    """Which items of a data set remain once only some classes are asked for.

    Parameters
    ----------
    classes : the classes asked for, in that order (it defines the labels), or all
    indices : of the remaining items
    labels : of the remaining items, indices into `classes`; None where unknown
    skipped : number of items left out
    """

    classes: tuple[str, ...]
    indices: Sequence[int]
    labels: tuple[int | None, ...]
    skipped: int = 0


class Dataset(ABC):
    """A sequence of :class:`Item`, which several threads may read; picklable, so that worker processes can, too.

    Parameters
    ----------
    name : identity stored in files, such as "tiny-imagenet/val"; holds no path
    choice : the items
    class_names : names of the classes for people; their identifiers if not given

    Attributes
    ----------
    classes : identifiers (WordNet id, folder name, "digit-0"), in the order of the labels
    labels : of every item, without decoding an image
    indices : of every item in the whole split
    skipped : how many items were left out because their class was not asked for
    """

    def __init__(self, name: str, choice: Choice, class_names: Sequence[str] = ()) -> None:
        self.name = name
        self.classes, self.class_names = choice.classes, tuple(class_names) or choice.classes
        self.labels, self.indices, self.skipped = choice.labels, choice.indices, choice.skipped

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        """One line: its name, and how much is in it."""
        return f"<{type(self).__name__} {printable(self.name, LONGEST_NAME)}: {len(self)} items>"

    @abstractmethod
    def __getitem__(self, position: int) -> Item: ...

    def __iter__(self) -> Iterator[Item]:
        return map(self.__getitem__, range(len(self)))

    def entry(self, position: int) -> Entry:
        """What is known of an item, without reading it."""
        return Entry(self.indices[position], self.labels[position], self._name_of(position))

    def content(self, position: int) -> str:
        """SHA-256, hexadecimal, of what an item is read from, without decoding it; "" for what has no file."""
        return ""

    @abstractmethod
    def _name_of(self, position: int) -> str: ...

    def _item(self, position: int, image: Image.Image | Events, *about: Any) -> Item:
        """An item of what was read; `about` it are box, mask and others."""
        entry = self.entry(position)
        return Item(entry.index, entry.label, entry.name, image, *about)


@dataclass(frozen=True)
class NamedSet:
    """A data set that is opened by its name; its module lists it in a dictionary `NAMED`, name -> set.

    Parameters
    ----------
    open : opens it: split, classes, size, download -> data set, see `open_dataset`
    generated : whether items are made when they are read: any number of them, and also a "selection" split
    """

    open: Callable[[str, Sequence[str] | None, int | None, bool], Dataset]
    generated: bool = False


def select_classes(
    where: str,
    item_classes: Sequence[str],
    available: Sequence[str],
    classes: Sequence[str] | None,
    names: Mapping[str, str] | None = None,
) -> Choice:
    """Keep the items whose class is in `classes` (None: in `available`), one at least.

    A class may be asked for by its identifier or by its name for people, of which `names` has those that differ; what
    is neither is the identifier of a class that has no items here. Of namesakes, the identifier alone names one.
    """
    kept = tuple(available) if classes is None else tuple(_identified(each, available, names or {}) for each in classes)
    if len(set(kept)) < len(kept):
        raise InputError(f"{where}: classes named twice among {', '.join(kept)}; name each once")
    label_of = {name: label for label, name in enumerate(kept)}
    positions = tuple(i for i, name in enumerate(item_classes) if name in label_of)
    if not positions:
        called = [(names or {}).get(each, each) for each in available]
        raise InputError(
            f"{where}: none of its {len(item_classes):,} items is of a class asked for ({shorten(kept)}); "
            f"it has {shorten(called)}{did_you_mean(kept[0] if kept else '', [*available, *called])}"
        )
    labels = tuple(label_of[item_classes[i]] for i in positions)
    return Choice(kept, positions, labels, len(item_classes) - len(positions))


def _identified(asked: str, available: Sequence[str], names: Mapping[str, str]) -> str:
    if asked in available:
        return asked
    found = [each for each in available if comparable(asked) in (comparable(each), comparable(names.get(each, each)))]
    return found[0] if len(found) == 1 else asked


def comparable(name: str) -> str:
    """A class as names are compared: the first of its synonyms, whatever the case, and underscores as spaces."""
    return name.split(",")[0].replace("_", " ").strip().casefold()


def shorten(names: Sequence[str], most: int = 5) -> str:
    """The first few names as text: "a, b, c, … (20 in all)"."""
    if not names:
        return "none"
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")


def did_you_mean(name: str, valid: Sequence[str]) -> str:
    """ "; did you mean 'x'?" with the nearest valid name, or nothing if none is near."""
    near = difflib.get_close_matches(name, valid, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
