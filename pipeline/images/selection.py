"""The choice of items: those whose class a checkpoint knows, in an order balanced over classes; a
training's split.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from spikesam.common.errors import InputError
from spikesam.common.text import shorten
from spikesam.pipeline.images.datasets import Dataset
from spikesam.pipeline.images.datasets.base import comparable

OTHER_CHOICE = "; give other {data}, or another {checkpoint}"
WITHOUT_LABELS = ", or run the images without their labels: {data is} {files}"


def known_classes(dataset: Dataset, classes: Sequence[str], class_names: Sequence[str]) -> Dataset:
    """The items of a data set whose class, by identifier or name, is known, labelled by the known
    classes.
    """
    items = dataset.relabelled(_matched(dataset, classes, class_names), classes, class_names)
    if len(dataset) and not len(items):
        names = shorten([name.split(",")[0] for name in class_names])
        raise InputError(
            f"{dataset.name}: its classes ({shorten(dataset.class_names)}) are none that the "
            "checkpoint knows "
            f"({names})",
            f"{OTHER_CHOICE}{WITHOUT_LABELS}" if dataset.files else OTHER_CHOICE,
            files=dataset.files,
        )
    return items


def _matched(
    dataset: Dataset, classes: Sequence[str], class_names: Sequence[str]
) -> dict[int, int | None]:
    """The known class of each class with items, or None; names count where identifiers say nothing,
    if unique.
    """
    exactly, by_identifier = _numbers(classes), _numbers(map(comparable, classes))
    by_name = _numbers(map(comparable, class_names))

    def one(called: str, numbers: list[int] | None) -> int | None:
        if numbers and len(numbers) > 1:
            candidates = " and ".join(f"{number} ({classes[number]})" for number in numbers)
            raise InputError(
                f"{dataset.name}: its class {called!r} could be each of the checkpoint's classes "
                f"{candidates}, which have "
                "one name; expected the identifier of one"
            )
        return numbers[0] if numbers else None

    matched: dict[int, int | None] = {}
    for label in sorted({label for label in dataset.labels if label is not None}):
        called = dataset.classes[label]
        comparable_name = comparable(called)
        matched[label] = one(
            called,
            exactly.get(called)
            or by_identifier.get(comparable_name)
            or by_name.get(comparable_name),
        )
    unknown = [label for label, number in matched.items() if number is None]
    namesakes = _numbers(comparable(dataset.class_names[label]) for label in unknown)
    taken = set(matched.values())
    for name, alike in namesakes.items():
        number = one(name, by_identifier.get(name) or by_name.get(name))
        if number is None or number in taken:
            continue
        if len(alike) > 1:
            same = " and ".join(dataset.classes[unknown[place]] for place in alike)
            raise InputError(
                f"{dataset.name}: its classes {same} are all called {name!r}, and the checkpoint "
                "knows no more of its "
                f"class {number} ({classes[number]}), expected its identifier"
            )
        matched[unknown[alike[0]]] = number
    return matched


def _numbers(names: Iterable[str]) -> dict[str, list[int]]:
    """The positions at which each name stands."""
    places: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        places.setdefault(name, []).append(number)
    return places


def balanced_order(labels: Sequence[int | None], seed: int) -> NDArray[np.int64]:
    """A seeded order of the n positions in which every class comes once per round, while it lasts:
    (n,) int64.
    """
    labelled = np.array([i for i, label in enumerate(labels) if label is not None], np.int64)
    unlabelled = np.array([i for i, label in enumerate(labels) if label is None], np.int64)
    order, turns, draws = _shuffle_classes(np.array([labels[i] for i in labelled], np.int64), seed)
    by_turn = order[np.lexsort((draws, turns))]
    return np.concatenate([labelled[by_turn], unlabelled])


def split_selection(
    labels: Sequence[int | None], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split off a `fraction` of every class to select a model by: sorted positions of training, and
    of selection.
    """
    if not 0 < fraction < 1:
        raise InputError(
            f"selection fraction: got {fraction}, expected more than 0 and less than 1"
        )
    if not len(labels) or any(label is None for label in labels):
        raise InputError(
            "selection split: got images without labels, expected labelled ones; use class folders"
        )
    classes = np.array(labels, np.int64)
    counts = np.bincount(classes)
    if (counts == 1).any():
        raise InputError(
            f"selection split: class {int(np.flatnonzero(counts == 1)[0])} has one image, expected "
            "two or more of each"
        )
    order, turns, _ = _shuffle_classes(classes, seed)
    taken = np.clip(np.rint(fraction * counts), 1, counts - 1)
    chosen = turns < taken[classes[order]]
    return np.sort(order[~chosen]), np.sort(order[chosen])


def _shuffle_classes(
    labels: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Positions grouped by class and shuffled within it; each one's turn in its class; a random
    number for each.
    """
    if seed < 0:
        raise InputError(f"seed: got {seed}, expected 0 or more")
    random = np.random.Generator(np.random.Philox(key=seed))
    order = np.lexsort((random.random(len(labels)), labels)).astype(np.int64)
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    turns = np.arange(len(labels)) - np.repeat(starts, sizes)
    return order, turns, random.random(len(labels))
