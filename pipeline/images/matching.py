"""The items of a data set whose class a checkpoint knows."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from recordings.errors import InputError

from .datasets import Dataset, Item
from .datasets.base import Choice, shorten
from .datasets.folder import ClassFolders


class KnownClasses(Dataset):
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
        of_label = [
            label_of.get(_comparable(identifier), label_of.get(_comparable(name)))
            for identifier, name in zip(dataset.classes, dataset.class_names, strict=True)
        ]
        known = [None if label is None else of_label[label] for label in dataset.labels]
        kept = [i for i, label in enumerate(dataset.labels) if label is None or known[i] is not None]
        indices, labels = [dataset.indices[i] for i in kept], tuple(known[i] for i in kept)
        super().__init__(dataset.name, Choice(tuple(classes), indices, labels, len(dataset) - len(kept)), class_names)
        self._dataset, self._positions = dataset, kept
        if len(dataset) and not kept:
            names = shorten([name.split(",")[0] for name in class_names])
            raise InputError(
                f"{dataset.name}: its classes ({shorten(dataset.class_names)}) are none that the checkpoint knows "
                f"({names})",
                "without-labels" if isinstance(dataset, ClassFolders) else "other-data",
                files=f"{shlex.quote(str(dataset.path))}/*/*" if isinstance(dataset, ClassFolders) else "",
            )

    def __getitem__(self, position: int) -> Item:
        return replace(self._dataset[self._positions[position]], label=self.labels[position])

    def content(self, position: int) -> str:
        """See :meth:`.datasets.base.Dataset.content`."""
        return self._dataset.content(self._positions[position])

    def _name_of(self, position: int) -> str:
        return self._dataset.entry(self._positions[position]).name


def _comparable(name: str) -> str:
    return name.split(",")[0].replace("_", " ").strip().casefold()
