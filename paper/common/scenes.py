"""Images that hold several objects of different classes: images side by side, or scenes drawn with two digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paper.common.images import ImageSet
from paper.common.pasting import Mask, placed, random_of
from spikesam.pipeline.images.datasets.cluttered_digits import ClutteredDigits
from spikesam.pipeline.networks.checkpoint import Checkpoint
from spikesam.recordings.errors import InputError


@dataclass(frozen=True, eq=False)
class Scenes:
    """Images with K objects each, every one with its own label and mask.

    Parameters
    ----------
    images : labelled with the class of the first object
    labels : (N, K) int64 — of all objects, different from each other
    masks : per image and object, (H, W) bool or None, in the order of `labels`
    """

    images: ImageSet
    labels: NDArray[np.int64]
    masks: tuple[tuple[Mask | None, ...], ...]

    def __len__(self) -> int:
        return len(self.images)

    def about(self, labels: NDArray[np.integer[Any]]) -> ImageSet:
        """Every image asked about one class: that label and object, no mask where no object is of the class."""
        masks = []
        for own, objects, label in zip(self.labels, self.masks, labels, strict=True):
            position = np.flatnonzero(own == label)
            masks.append(objects[int(position[0])] if position.size else None)
        return replace(self.images, labels=np.asarray(labels, np.int64), masks=tuple(masks))

    def exchanged(self) -> Scenes:
        """Left and right half exchanged; each object keeps its place in `labels`."""
        half = self.images.size[1] // 2
        masks = tuple(
            tuple(None if mask is None else np.roll(mask, half, axis=-1) for mask in objects) for objects in self.masks
        )
        pixels, name = np.roll(self.images.pixels, half, axis=-1), f"{self.images.name}-exchanged"
        return Scenes(replace(self.images, name=name, pixels=pixels, masks=_firsts(masks)), self.labels, masks)


def mosaics(images: ImageSet, rows: int, columns: int, seed: int) -> Scenes:
    """A mosaic for every image, with others of other classes, in random cells.

    An object is that of the image in its cell; the masks of `images` hold all objects (None if one is unknown).
    """
    cells = rows * columns
    classes = len(set(images.labels.tolist()) - {-1})
    if classes < cells:
        raise InputError(f"side by side: got images of {classes} known classes, expected at least {cells}")
    chosen, places = [], []
    for number in range(len(images)):
        random = random_of(images, number, seed, "mosaic")
        shown = [number]
        for candidate in random.permutation(len(images)).tolist():
            if len(shown) < cells and images.labels[candidate] not in {-1, *images.labels[shown]}:
                shown.append(candidate)
        chosen.append(shown)
        places.append(random.permutation(cells).tolist())
    pixels, masks = _tiled(images, chosen, places, rows, columns)
    unions = tuple(_union(objects) for objects in masks)
    name = f"{images.name}/{rows}x{columns}"
    return Scenes(replace(images, name=name, pixels=pixels, masks=unions), images.labels[chosen], masks)


def side_by_side(images: ImageSet, count: int, seed: int) -> Scenes:
    """Two images of different classes in one of twice the width; the objects are its halves.

    Images of any size come here prepared, hence with one height; each is used once, and those without a class are left
    out. There are `count` pairs, fewer where classes or images run out.
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
            f"{images.name}: no two of {len(images)} images are of different classes, which fig10 needs; "
            "raise paper.images or use data with more classes"
        )
    whole = replace(images, masks=(np.ones(images.size, np.bool_),) * len(images))
    pixels, halves = _tiled(whole, chosen, [(0, 1)] * len(chosen), 1, 2)
    labels, name = images.labels[np.array(chosen)], f"{images.name}-pairs"
    together = ImageSet(name, pixels, labels[:, 0], np.arange(len(chosen)), _firsts(halves), images.preprocessing)
    return Scenes(together, labels, halves)


def two_digit_scenes(checkpoint: Checkpoint, count: int) -> Scenes:
    """Cluttered digits, two in a scene; scenes are left out whose digits the checkpoint does not both know."""
    dataset = ClutteredDigits("val", count, pairs=True).of_classes(checkpoint.classes)
    prepare = checkpoint.image_preprocessing
    items = [item for item in dataset if item.others[0].label is not None]
    if not items:
        raise InputError(
            f"{dataset.name}: no scene of {count} has two digits that the checkpoint knows; raise paper.two_objects "
            "or use a checkpoint with more classes"
        )
    masks = tuple(
        tuple(prepare.mask(mask) for mask in (item.mask, item.others[0].mask) if mask is not None) for item in items
    )
    labels = np.array([[item.label, item.others[0].label] for item in items], np.int64)
    pixels = np.stack([prepare.image(item.image) for item in items])
    indices = np.array([item.index for item in items], np.int64)
    return Scenes(ImageSet(dataset.name, pixels, labels[:, 0], indices, _firsts(masks), prepare), labels, masks)


def _tiled(
    images: ImageSet, chosen: Sequence[Sequence[int]], cells: Sequence[Sequence[int]], rows: int, columns: int
) -> tuple[NDArray[np.float32], tuple[tuple[Mask | None, ...], ...]]:
    """Images and their masks in cells of a larger one: the chosen images, and the cell that each of them goes to."""
    height, width = images.size
    pixels = np.empty((len(chosen), images.pixels.shape[1], rows * height, columns * width), np.float32)
    masks = []
    for canvas, shown, places in zip(pixels, chosen, cells, strict=True):
        moved: list[Mask | None] = []
        for image, cell in zip(shown, places, strict=True):
            top, left = cell // columns * height, cell % columns * width
            window = np.s_[..., top : top + height, left : left + width]
            canvas[window] = images.pixels[image]
            mask = images.masks[image]
            moved.append(None if mask is None else placed(mask, pixels.shape[2:], window))
        masks.append(tuple(moved))
    return pixels, tuple(masks)


def _union(masks: tuple[Mask | None, ...]) -> Mask | None:
    known = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(known) if len(known) == len(masks) else None


def _firsts(masks: tuple[tuple[Mask | None, ...], ...]) -> tuple[Mask | None, ...]:
    return tuple(objects[0] for objects in masks)
