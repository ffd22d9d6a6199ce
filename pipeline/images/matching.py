"""The items of a data set whose class a checkpoint knows."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from spikesam.pipeline.images.datasets import Dataset
from spikesam.pipeline.images.datasets.base import comparable, shorten
from spikesam.pipeline.images.datasets.folder import ClassFolders
from spikesam.recordings.errors import InputError


def known_classes(dataset: Dataset, classes: Sequence[str], class_names: Sequence[str]) -> Dataset:
    """The items of a data set whose class is known, labelled by the known classes.

    A class is known by its identifier or its name. Upper and lower case are equal, and so are underscores and spaces.
    Only the first of several synonyms counts ("goldfish, Carassius auratus"). Items without a label stay.

    Two classes may have one name: ImageNet has a crane that flies and one that lifts. Then identifiers alone match.

    Parameters
    ----------
    classes, class_names : identifiers and names of the known classes; they define the labels

    Raises
    ------
    InputError : if the data set has labels, and none is known, or one could be either of two classes
    """
    known = dataset.relabelled(_matched(dataset, classes, class_names), classes, class_names)
    if len(dataset) and not len(known):
        names = shorten([name.split(",")[0] for name in class_names])
        raise InputError(
            f"{dataset.name}: its classes ({shorten(dataset.class_names)}) are none that the checkpoint knows "
            f"({names})",
            "without-labels" if isinstance(dataset, ClassFolders) else "other-data",
            files=f"{shlex.quote(str(dataset.path))}/*/*" if isinstance(dataset, ClassFolders) else "",
        )
    return known


def _matched(dataset: Dataset, classes: Sequence[str], class_names: Sequence[str]) -> dict[int, int | None]:
    """The known class of every class of a data set that has items; None where it is unknown.

    A name stands for a class only where the data set's identifier says nothing, and no other class has that name.
    """
    exactly, by_identifier = _numbers(classes), _numbers(map(comparable, classes))
    by_name = _numbers(map(comparable, class_names))

    def one(called: str, found: list[int] | None) -> int | None:
        if found and len(found) > 1:
            several = " and ".join(f"{number} ({classes[number]})" for number in found)
            raise InputError(
                f"{dataset.name}: its class {called!r} could be each of the checkpoint's classes {several}, which have "
                "one name; expected the identifier of one"
            )
        return found[0] if found else None

    matched: dict[int, int | None] = {}
    for label in sorted({label for label in dataset.labels if label is not None}):
        called = dataset.classes[label]
        own = comparable(called)
        matched[label] = one(called, exactly.get(called) or by_identifier.get(own) or by_name.get(own))
    unknown = [label for label, number in matched.items() if number is None]
    namesakes = _numbers(comparable(dataset.class_names[label]) for label in unknown)
    taken = set(matched.values())
    for name, alike in namesakes.items():
        number = one(name, by_identifier.get(name) or by_name.get(name))
        if number is None or number in taken:
            continue
        if len(alike) > 1:
            same = " and ".join(dataset.classes[unknown[each]] for each in alike)
            raise InputError(
                f"{dataset.name}: its classes {same} are all called {name!r}, and the checkpoint knows no more of its "
                f"class {number} ({classes[number]}), expected its identifier"
            )
        matched[unknown[alike[0]]] = number
    return matched


def _numbers(names: Iterable[str]) -> dict[str, list[int]]:
    """Where each name stands."""
    found: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        found.setdefault(name, []).append(number)
    return found
