"""The order in which images are chosen, balanced over classes; and the selection split of a training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.errors import InputError


def balanced_order(labels: Sequence[int | None], seed: int) -> NDArray[np.int64]:
    """A seeded order of positions in which every class comes once per round, while it lasts.

    So the first N are as balanced as N allows, for every N, and stay the first when more are chosen.

    Parameters
    ----------
    labels : n labels; None is unlabelled
    seed : ≥ 0

    Returns
    -------
    (n,) int64 — a permutation of 0 … n-1; unlabelled positions come last, in their own order
    """
    known = np.array([i for i, label in enumerate(labels) if label is not None], np.int64)
    unknown = np.array([i for i, label in enumerate(labels) if label is None], np.int64)
    order, turns, draws = _shuffle_classes(np.array([labels[i] for i in known], np.int64), seed)
    by_turn = order[np.lexsort((draws, turns))]
    return np.concatenate([known[by_turn], unknown])


def split_selection(
    labels: Sequence[int | None], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split off a part of every class, to select a model by without touching validation data.

    Parameters
    ----------
    labels : n labels
    fraction : of each class that goes to the selection part, between 0 and 1; rounded, but at least one image of each
        class goes to either part
    seed : ≥ 0

    Returns
    -------
    train, selection : sorted positions, disjoint, together all

    Raises
    ------
    InputError : if an image has no label, a class has a single image, or `fraction` is not between 0 and 1
    """
    if not 0 < fraction < 1:
        raise InputError(f"selection fraction: got {fraction}, expected more than 0 and less than 1")
    if not len(labels) or any(label is None for label in labels):
        raise InputError("selection split: got images without labels, expected labelled ones; use class folders")
    classes = np.array(labels, np.int64)
    counts = np.bincount(classes)
    if (counts == 1).any():
        raise InputError(
            f"selection split: class {int(np.flatnonzero(counts == 1)[0])} has one image, expected two or more of each"
        )
    order, turns, _ = _shuffle_classes(classes, seed)
    taken = np.clip(np.rint(fraction * counts), 1, counts - 1)
    chosen = turns < taken[classes[order]]
    return np.sort(order[~chosen]), np.sort(order[chosen])


def _shuffle_classes(
    labels: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Positions grouped by class and shuffled within it; each one's turn in its class; a random number for each."""
    if seed < 0:
        raise InputError(f"seed: got {seed}, expected 0 or more")
    random = np.random.Generator(np.random.Philox(key=seed))
    order = np.lexsort((random.random(len(labels)), labels)).astype(np.int64)
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    turns = np.arange(len(labels)) - np.repeat(starts, sizes)
    return order, turns, random.random(len(labels))
