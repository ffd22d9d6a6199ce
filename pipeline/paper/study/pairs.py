"""Images with two objects of different classes: two images side by side, or scenes drawn with two digits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.images.datasets import open_dataset
from pipeline.networks.checkpoint import Checkpoint
from recordings.errors import InputError

from .images import ImageSet


@dataclass(frozen=True, eq=False)
class Pairs:
    """Images with two objects each.

    Parameters
    ----------
    images : labelled with the class of the first object
    labels : (N, 2) int64 — of both, different
    objects : (N, 2, H, W) bool — where each is, disjoint
    """

    images: ImageSet
    labels: NDArray[np.int64]
    objects: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.images)

    def swapped(self) -> Pairs:
        """The same two halves with left and right exchanged; each object keeps its place in `labels`."""
        half = self.images.size[1] // 2

        pixels, objects = np.roll(self.images.pixels, half, axis=-1), np.roll(self.objects, half, axis=-1)
        name = f"{self.images.name}-exchanged"
        return Pairs(replace(self.images, name=name, pixels=pixels, masks=tuple(objects[:, 0])), self.labels, objects)


def side_by_side(images: ImageSet, count: int, seed: int) -> Pairs:
    """Two images of different classes in one of twice the width; the objects are its halves.

    Images of any size come here prepared, hence with one height; each is used once.

    Parameters
    ----------
    images : to draw from; those without a class are left out
    count : of pairs, fewer where classes or images run out
    seed : of the choice

    Raises
    ------
    InputError : if no two are of different classes
    """
    waiting = [int(i) for i in np.random.default_rng(seed).permutation(len(images)) if images.labels[i] >= 0]
    chosen: list[tuple[int, int]] = []
    while waiting and len(chosen) < count:
        first = waiting.pop(0)
        other = next((i for i in waiting if images.labels[i] != images.labels[first]), None)
        if other is not None:
            waiting.remove(other)
            chosen.append((first, other))
    if not chosen:
        raise InputError(
            f"{images.name}: no two of {len(images)} images are of different classes, which a pair needs; "
            "raise paper.images or use data with more classes"
        )
    left, right = np.array(chosen).T
    height, width = images.size
    halves = np.zeros((2, height, 2 * width), np.bool_)
    halves[0, :, :width] = halves[1, :, width:] = True
    pixels = np.concatenate([images.pixels[left], images.pixels[right]], axis=-1)
    labels = np.stack([images.labels[left], images.labels[right]], axis=1)
    together = ImageSet(
        f"{images.name}-pairs",
        pixels,
        labels[:, 0],
        np.arange(len(chosen)),
        tuple(halves[0] for _ in chosen),
        images.preprocessing,
    )
    return Pairs(together, labels, np.broadcast_to(halves, (len(chosen), *halves.shape)))


def two_digit_scenes(checkpoint: Checkpoint, count: int) -> Pairs:
    """Cluttered digits, two in a scene; scenes are left out whose digits the checkpoint does not both know."""
    dataset = open_dataset("cluttered-digits", "val", checkpoint.classes, size=count, digits=2)
    prepare = checkpoint.preprocessing
    items = [item for item in dataset if item.others[0].label is not None]
    if not items:
        raise InputError(
            f"{dataset.name}: no scene of {count} has two digits that the checkpoint knows; raise paper.pairs or use a "
            "checkpoint with more classes"
        )
    masks = [[mask for mask in (item.mask, item.others[0].mask) if mask is not None] for item in items]
    objects = np.array([[prepare.mask(mask) for mask in of_item] for of_item in masks])
    labels = np.array([[item.label, item.others[0].label] for item in items], np.int64)
    images = ImageSet(
        dataset.name,
        np.stack([prepare.image(item.image) for item in items]),
        labels[:, 0],
        np.array([item.index for item in items], np.int64),
        tuple(objects[:, 0]),
        prepare,
    )
    return Pairs(images, labels, objects)
