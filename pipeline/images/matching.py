"""The items of a data set whose class a checkpoint knows."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from recordings.errors import InputError

from .datasets import Dataset, Entry, Item
from .datasets.base import Items, shorten
from .datasets.folder import ClassFolders


class KnownClasses(Items):
    """The items of a data set whose class is known, labelled by the known classes.

    A class is known by its identifier or its name. Upper and lower case are equal, and so are underscores and spaces.
    Only the first of several synonyms counts ("goldfish, Carassius auratus"). Items without a label stay.

    Parameters
    ----------
    dataset : labels are indices into its own classes
    classes, class_names : identifiers and names of the known classes; they define the labels

    Raises
    ------
    InputError : if the data set has labels, and none is known
    """

    def __init__(self, dataset: Dataset, classes: Sequence[str], class_names: Sequence[str]) -> None:
        label_of: dict[str, int] = {}
        for label, name in [*enumerate(classes), *enumerate(class_names)]:  # identifiers first
            label_of.setdefault(_comparable(name), label)
        self._label_of = [
            label_of.get(_comparable(identifier), label_of.get(_comparable(name)))
            for identifier, name in zip(dataset.classes, dataset.class_names, strict=True)
        ]
        self._dataset = dataset
        self._positions = [
            i for i, label in enumerate(dataset.labels) if label is None or self._known(label) is not None
        ]
        self.name = dataset.name
        self.classes, self.class_names = tuple(classes), tuple(class_names)
        self.labels = tuple(self._known(dataset.labels[i]) for i in self._positions)
        self.skipped = len(dataset) - len(self._positions)
        if len(dataset) and not self._positions:
            names = shorten([name.split(",")[0] for name in class_names])
            raise InputError(
                f"{dataset.name}: its classes ({shorten(dataset.class_names)}) are none that the checkpoint knows "
                f"({names})",
                "without-labels" if isinstance(dataset, ClassFolders) else "other-data",
                files=f"{shlex.quote(str(dataset.path))}/*/*" if isinstance(dataset, ClassFolders) else "",
            )

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, position: int) -> Item:
        item = self._dataset[self._positions[position]]
        others = tuple(replace(other, label=self._known(other.label)) for other in item.others)
        return replace(item, label=self._known(item.label), others=others)

    def entry(self, position: int) -> Entry:
        """See :class:`pipeline.images.datasets.Dataset`."""
        entry = self._dataset.entry(self._positions[position])
        return replace(entry, label=self._known(entry.label))

    def _known(self, label: int | None) -> int | None:
        return None if label is None else self._label_of[label]


def _comparable(name: str) -> str:
    return name.split(",")[0].replace("_", " ").strip().casefold()
