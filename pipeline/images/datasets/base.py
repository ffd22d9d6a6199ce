"""A data set: labelled images or events with a stable index, and where known the object's box and
mask.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spikesam.common.errors import InputError, did_you_mean
from spikesam.common.parallel import cores, in_order
from spikesam.common.text import LONGEST_NAME, printable, shorten
from spikesam.pipeline.images.events.events import Events
from spikesam.pipeline.images.preprocessing import Box
from spikesam.recordings.schema import SampleTable

SIZES = {
    "train": 8000,
    "selection": 1000,
    "val": 1000,
}  # items of a generated set, unless told otherwise
READERS = 4  # threads that read images at most; each may hold a large one


@dataclass(frozen=True, eq=False)
class Object:
    """One more object in an image; the fields mean what :class:`Item`'s do."""

    label: int | None
    box: Box
    mask: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Item:
    """One image, or one recording of events; what is unknown of the object in it is None."""

    # position in the whole split, whatever subset is used; the key of an image's Poisson spikes
    index: int
    label: int | None  # number of one of the data set's classes
    name: str  # short, for people
    image: Image.Image | Events  # RGB
    box: Box | None = None  # of `image`
    mask: NDArray[np.bool_] | None = (
        None  # (H, W), the object's pixels; of events, those it covered at any time
    )
    others: tuple[Object, ...] = ()  # further objects, where known


class Dataset(ABC):
    """A sequence of :class:`Item`, which several threads may read; picklable, so that worker
    processes can, too.
    """

    def __init__(
        self,
        name: str,  # identity stored in files, such as "tiny-imagenet/val"; holds no path
        classes: Sequence[
            str
        ],  # identifiers (WordNet id, folder name, "digit-0"), in the order of the labels
        labels: Sequence[int | None],  # of every item, without decoding an image; None if unknown
        indices: Sequence[int]
        | None = None,  # of every item in the whole split; its position if not given
        class_names: Sequence[str] = (),  # for people; the identifiers if not given
        skipped: int = 0,  # items that were left out because their class was not asked for
        # where they lie, as a shell finds them without their labels; "" if there are none
        files: str = "",
    ) -> None:
        self.name, self.classes, self.labels = name, tuple(classes), tuple(labels)
        self.class_names = tuple(class_names) or self.classes
        self.indices = range(len(labels)) if indices is None else indices
        self.skipped, self.files = skipped, files

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        """One line: its name, and how much is in it."""
        return f"<{type(self).__name__} {printable(self.name, LONGEST_NAME)}: {len(self)} items>"

    @abstractmethod
    def __getitem__(self, position: int) -> Item: ...

    def __iter__(self) -> Iterator[Item]:
        return map(self.__getitem__, range(len(self)))

    def name_of(self, position: int) -> str:
        """A short name of an item, for people, without reading it; if not told otherwise, as of a
        recording.
        """
        return f"{self.class_names[self.labels[position] or 0]} (recording {position})"

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
        """SHA-256, hexadecimal, of what an item is read from, without decoding it; "" for what has
        no file.
        """
        return ""

    def contents(self, advance: Callable[[int], None] = lambda images: None) -> tuple[str, ...]:
        """Those of all items; `advance` is called with the number of items just read."""
        contents = []
        with closing(in_order(self.content, range(len(self)), min(cores(), READERS))) as digests:
            for digest in digests:
                contents.append(digest)
                advance(1)
        return tuple(contents)

    def chosen(self, positions: Sequence[int]) -> Dataset:
        """The items at some positions, in that order."""
        same_labels = {label: label for label in range(len(self.classes))}
        return _Subset(self, positions, same_labels, self.classes, self.class_names, self.skipped)

    def relabelled(
        self, numbers: Mapping[int, int | None], classes: Sequence[str], class_names: Sequence[str]
    ) -> Dataset:
        """The items whose class has one of the new `numbers`, labelled by it; items without a label
        stay.
        """
        positions = [
            i
            for i, label in enumerate(self.labels)
            if label is None or numbers.get(label) is not None
        ]
        return _Subset(
            self,
            positions,
            numbers,
            classes,
            class_names,
            self.skipped + len(self) - len(positions),
        )

    def of_classes(self, class_list: Sequence[str]) -> Dataset:
        """The items of some classes, by identifier or name, whose order defines the labels;
        unlabelled ones stay.
        """
        identifiers = [self._identified(class_word) for class_word in class_list]
        if len(set(identifiers)) < len(identifiers):
            raise InputError(
                f"{self.name}: classes named twice among {', '.join(identifiers)}; name each once"
            )
        here = {identifier: label for label, identifier in enumerate(self.classes)}
        numbers = {
            here[identifier]: number
            for number, identifier in enumerate(identifiers)
            if identifier in here
        }
        names = [
            self.class_names[here[identifier]] if identifier in here else identifier
            for identifier in identifiers
        ]
        items = self.relabelled(numbers, identifiers, names)
        if not len(items):
            near = did_you_mean(
                identifiers[0] if identifiers else "", [*self.classes, *self.class_names]
            )
            raise InputError(
                f"{self.name}: none of its {len(self):,} items is of a class asked for "
                f"({shorten(identifiers)}); "
                f"it has {shorten(self.class_names)}{near}"
            )
        return items

    def _identified(self, class_word: str) -> str:
        if class_word in self.classes:
            return class_word
        identifiers_and_names = zip(self.classes, self.class_names, strict=True)
        matches = [
            identifier
            for identifier, name in identifiers_and_names
            if comparable(class_word) in (comparable(identifier), comparable(name))
        ]
        return matches[0] if len(matches) == 1 else class_word

    def _item(self, position: int, image: Image.Image | Events, *annotations: Any) -> Item:
        """An item of what was read; `annotations` are its box, mask and others."""
        return Item(
            self.indices[position],
            self.labels[position],
            self.name_of(position),
            image,
            *annotations,
        )


class _Subset(Dataset):
    """Some items of another data set, whose labels have new numbers."""

    def __init__(
        self,
        dataset: Dataset,
        positions: Sequence[int],
        numbers: Mapping[int, int | None],
        classes: Sequence[str],
        class_names: Sequence[str],
        skipped: int,
    ) -> None:
        self._dataset, self._positions, self._numbers = dataset, positions, numbers
        labels, indices = (
            [self._number(dataset.labels[i]) for i in positions],
            [dataset.indices[i] for i in positions],
        )
        super().__init__(
            dataset.name, classes, labels, indices, class_names, skipped, dataset.files
        )

    def __getitem__(self, position: int) -> Item:
        item = self._dataset[self._positions[position]]
        objects = tuple(
            replace(further, label=self._number(further.label)) for further in item.others
        )
        return replace(item, label=self.labels[position], others=objects)

    def content(self, position: int) -> str:
        """See :class:`Dataset`."""
        return self._dataset.content(self._positions[position])

    def name_of(self, position: int) -> str:
        """See :class:`Dataset`."""
        return self._dataset.name_of(self._positions[position])

    def _number(self, label: int | None) -> int | None:
        return None if label is None else self._numbers.get(label)


class GeneratedSet(Dataset):
    """Items made of (`key`, split, index) alone when they are read, each class once in a block."""

    def __init__(
        self,
        name: str,
        key: int,
        split: str,
        size: int | None,
        classes: Sequence[str],
        class_names: Sequence[str],
    ) -> None:
        size = SIZES[split] if size is None else size
        if size < 1:
            raise InputError(f"{name}: got size {size}, expected at least 1")
        self._split, self._key, count = split, key + list(SIZES).index(split), len(classes)
        blocks = [
            self._random(block, stream=1).random(count).argsort()
            for block in range(-(-size // count))
        ]
        super().__init__(
            name, classes, np.concatenate(blocks)[:size].tolist(), class_names=class_names
        )

    def _random(self, number: int, stream: int) -> np.random.Generator:
        return np.random.Generator(
            np.random.Philox(key=np.array([self._key + (stream << 62), number], np.uint64))
        )


@dataclass(frozen=True)
class NamedSet:
    """A data set that is opened by its name; its module lists it in a dictionary `NAMED`, name ->
    set.
    """

    open: Callable[
        ..., Dataset
    ]  # makes it of a split, and of its size if generated, else of whether it is fetched
    generated: bool = (
        False  # items are made when they are read: any number of them, and also a "selection" split
    )


def comparable(name: str) -> str:
    """A class as names are compared: the first of its synonyms, whatever the case, and underscores
    as spaces.
    """
    return name.split(",")[0].replace("_", " ").strip().casefold()
