"""What a data set is: labelled images or events with a stable index, and where known the object's box and mask."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spikesam.pipeline.images.events.events import Events
from spikesam.pipeline.images.preprocessing import Box
from spikesam.recordings.errors import InputError
from spikesam.recordings.parallel import cores, in_order
from spikesam.recordings.schema import SampleTable
from spikesam.recordings.text import LONGEST_NAME, printable

READERS = 4  # threads that read images at most; each may hold a large one


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
    index : position in the whole split, whatever subset of classes is used; the key of an image's Poisson spikes
    label : index into the data set's `classes`; None if unknown
    name : short, for people
    image : RGB, or events
    box : (x0, y0, x1, y1) pixels of `image`, end exclusive
    mask : (H, W) bool, the object's pixels; of events, those it covered at any time
    others : further objects in the image, where known
    """

    index: int
    label: int | None
    name: str
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

    @abstractmethod
    def name_of(self, position: int) -> str:
        """A short name of an item, for people, without reading it."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of all items."""
        return tuple(map(self.name_of, range(len(self))))

    @property
    def table(self) -> SampleTable:
        """Index and label of every item; -1 where the class is unknown."""
        labels = [-1 if label is None else label for label in self.labels]
        return SampleTable(np.array(self.indices, np.int64), np.array(labels, np.int32))

    def content(self, position: int) -> str:
        """SHA-256, hexadecimal, of what an item is read from, without decoding it; "" for what has no file."""
        return ""

    def contents(self, advance: Callable[[int], None] = lambda images: None) -> tuple[str, ...]:
        """Those of all items; `advance` is called with the number of items just read."""
        found = []
        with closing(in_order(self.content, range(len(self)), min(cores(), READERS))) as digests:
            for digest in digests:
                found.append(digest)
                advance(1)
        return tuple(found)

    def chosen(self, positions: Sequence[int]) -> Dataset:
        """The items at some positions, in that order."""
        return Subset(self, positions)

    def relabelled(
        self, numbers: Mapping[int, int | None], classes: Sequence[str], class_names: Sequence[str]
    ) -> Dataset:
        """The items whose class has one of the new `numbers`, labelled by it; items without a label stay."""
        kept = [i for i, label in enumerate(self.labels) if label is None or numbers.get(label) is not None]
        return Subset(self, kept, numbers, classes, class_names)

    def _item(self, position: int, image: Image.Image | Events, *about: Any) -> Item:
        """An item of what was read; `about` it are box, mask and others."""
        return Item(self.indices[position], self.labels[position], self.name_of(position), image, *about)


class Subset(Dataset):
    """Some items of another data set, labelled by classes of their own if there are new numbers for the labels."""

    def __init__(
        self,
        dataset: Dataset,
        positions: Sequence[int],
        numbers: Mapping[int, int | None] | None = None,
        classes: Sequence[str] = (),
        class_names: Sequence[str] = (),
    ) -> None:
        self._dataset, self._positions, self._numbers = dataset, positions, numbers
        labels = tuple(self._number(dataset.labels[i]) for i in positions)
        skipped = dataset.skipped + (0 if numbers is None else len(dataset) - len(positions))
        named = (dataset.classes, dataset.class_names) if numbers is None else (tuple(classes), class_names)
        super().__init__(
            dataset.name, Choice(named[0], [dataset.indices[i] for i in positions], labels, skipped), named[1]
        )

    def __getitem__(self, position: int) -> Item:
        item = self._dataset[self._positions[position]]
        others = tuple(replace(other, label=self._number(other.label)) for other in item.others)
        return replace(item, label=self.labels[position], others=others)

    def content(self, position: int) -> str:
        """See :class:`Dataset`."""
        return self._dataset.content(self._positions[position])

    def name_of(self, position: int) -> str:
        """See :class:`Dataset`."""
        return self._dataset.name_of(self._positions[position])

    def _number(self, label: int | None) -> int | None:
        return label if label is None or self._numbers is None else self._numbers.get(label)


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
