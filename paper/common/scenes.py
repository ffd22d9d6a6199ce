"""Images made of others: with several objects of different classes, or in which a guess at the
centre finds nothing.

Masks move with their objects. Everything is a function of the images and a seed. Larger images need
a wider network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paper.common.heatmaps import COUNT, SAM, count_maps, sam_maps
from paper.common.images import ImageSet
from paper.common.setup import Setup
from spikesam import Checkpoint, Dense, InputError, Network, RasterReader
from spikesam.data import ClutteredDigits
from spikesam.measures import resize_map

Mask = NDArray[np.bool_]
TRIES = 200  # places looked at for a decoy


@dataclass(frozen=True, eq=False)
class Scenes:
    """Images with K objects each, every one with its own label and mask."""

    images: ImageSet  # labelled with the class of the first object
    labels: NDArray[np.int64]  # (N, K), of all objects, different from each other
    masks: tuple[tuple[Mask | None, ...], ...]  # (H, W) of every image and object

    def __len__(self) -> int:
        return len(self.images)

    def about(self, labels: NDArray[np.integer[Any]]) -> ImageSet:
        """Every image asked about one class: that label and object, no mask where no object is of
        the class.
        """
        masks = []
        for own, objects, label in zip(self.labels, self.masks, labels, strict=True):
            position = np.flatnonzero(own == label)
            masks.append(objects[int(position[0])] if position.size else None)
        return replace(self.images, labels=np.asarray(labels, np.int64), masks=tuple(masks))

    def exchanged(self) -> Scenes:
        """Left and right half exchanged; each object keeps its place in `labels`."""
        half = self.images.size[1] // 2
        masks = tuple(
            tuple(None if mask is None else np.roll(mask, half, axis=-1) for mask in objects)
            for objects in self.masks
        )
        pixels, name = np.roll(self.images.pixels, half, axis=-1), f"{self.images.name}-exchanged"
        return Scenes(
            replace(self.images, name=name, pixels=pixels, masks=_firsts(masks)), self.labels, masks
        )


def mosaics(images: ImageSet, rows: int, columns: int, seed: int) -> Scenes:
    """A mosaic for every image, with others of other classes in random cells; a cell's object is
    that of its image.
    """
    cells = rows * columns
    classes = len(set(images.labels.tolist()) - {-1})
    if classes < cells:
        raise InputError(
            f"side by side: got images of {classes} known classes, expected at least {cells}"
        )
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
    return Scenes(
        replace(images, name=name, pixels=pixels, masks=unions), images.labels[chosen], masks
    )


def side_by_side(images: ImageSet, count: int, seed: int) -> Scenes:
    """Pairs of images of different classes in one of twice the width, at most `count`; the objects
    are its halves.

    Each image is used once, and those without a class are left out.
    """
    waiting = [
        int(i)
        for i in np.random.default_rng(seed).permutation(len(images))
        if images.labels[i] >= 0
    ]
    chosen: list[tuple[int, int]] = []
    while waiting and len(chosen) < count:
        first = waiting.pop(0)
        other = next((i for i in waiting if images.labels[i] != images.labels[first]), None)
        if other is not None:
            waiting.remove(other)
            chosen.append((first, other))
    if not chosen:
        raise InputError(
            f"{images.name}: no two of {len(images)} images are of different classes, which fig10 "
            "needs; raise paper.images or use data with more classes"
        )
    whole = replace(images, masks=(np.ones(images.size, np.bool_),) * len(images))
    pixels, halves = _tiled(whole, chosen, [(0, 1)] * len(chosen), 1, 2)
    labels, name = images.labels[np.array(chosen)], f"{images.name}-pairs"
    together = ImageSet(
        name, pixels, labels[:, 0], np.arange(len(chosen)), _firsts(halves), images.preprocessing
    )
    return Scenes(together, labels, halves)


def two_digit_scenes(checkpoint: Checkpoint, count: int) -> Scenes:
    """Cluttered digits, two in a scene; scenes are left out whose digits the checkpoint does not
    both know.
    """
    dataset = ClutteredDigits("val", count, pairs=True).of_classes(checkpoint.classes)
    prepare = checkpoint.image_preprocessing
    items = [item for item in dataset if item.others[0].label is not None]
    if not items:
        raise InputError(
            f"{dataset.name}: no scene of {count} has two digits that the checkpoint knows; raise "
            "paper.two_objects or use a checkpoint with more classes"
        )
    masks = tuple(
        tuple(prepare.mask(mask) for mask in (item.mask, item.others[0].mask) if mask is not None)
        for item in items
    )
    labels = np.array([[item.label, item.others[0].label] for item in items], np.int64)
    pixels = np.stack([prepare.image(item.image) for item in items])
    indices = np.array([item.index for item in items], np.int64)
    return Scenes(
        ImageSet(dataset.name, pixels, labels[:, 0], indices, _firsts(masks), prepare),
        labels,
        masks,
    )


def _tiled(
    images: ImageSet,
    chosen: Sequence[Sequence[int]],
    cells: Sequence[Sequence[int]],
    rows: int,
    columns: int,
) -> tuple[NDArray[np.float32], tuple[tuple[Mask | None, ...], ...]]:
    """Images and their masks in cells of a larger one: the chosen images, and the cell that each of
    them goes to.
    """
    height, width = images.size
    pixels = np.empty(
        (len(chosen), images.pixels.shape[1], rows * height, columns * width), np.float32
    )
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


def paste(
    images: ImageSet, height: int, width: int, seed: int, fill: Literal["mean", "texture"] = "mean"
) -> ImageSet:
    """Every image whole, at a random place of a larger canvas, where its object is not at the
    canvas's centre.

    On a canvas less than three times as wide, an image placed anywhere mostly covers the centre. So
    only places are drawn at which the object does not cover it. An object that fills its image goes
    into a random corner.

    Around it is "mean", the colour that preprocessing makes 0, which causes no input spike, or
    "texture", another image of the set, mirrored to the canvas's size, with scrambled phases:
    colours and spectrum of a real image, no object.
    """
    own_height, own_width = images.size
    if height < own_height or width < own_width:
        raise InputError(
            f"paste: got a canvas of {height}×{width}, expected at least the images' "
            f"{own_height}×{own_width}"
        )
    canvases = np.zeros((len(images), 3, height, width), np.float32)
    masks: list[Mask | None] = []
    for number, (pixels, mask) in enumerate(zip(images.pixels, images.masks, strict=True)):
        random = random_of(images, number, seed, "paste")
        places = _off_centre(
            np.ones(images.size, np.bool_) if mask is None else mask, height, width
        )
        place: Any = random.choice(places)
        top, left = place
        if fill == "texture":
            other = images.pixels[
                (number + 1 + random.integers(max(1, len(images) - 1))) % len(images)
            ]
            canvases[number] = _texture(other, height, width, random)
        window = np.s_[..., top : top + own_height, left : left + own_width]
        canvases[number][window] = pixels
        masks.append(None if mask is None else placed(mask, (height, width), window))
    return replace(images, name=f"{images.name}/pasted-{fill}", pixels=canvases, masks=tuple(masks))


def with_decoys(images: ImageSet, count: int, side: int, seed: int) -> ImageSet:
    """Pieces of the objects of other images, `side` pixels square and as bright as theirs, pasted
    beside every object.

    Where the object is the brightest thing in its image, brightness alone finds it; among decoys it
    no longer does.
    """
    height, width = images.size
    sources = [
        number for number, mask in enumerate(images.masks) if mask is not None and mask.any()
    ]
    if len(sources) < 2 or not 1 <= side <= min(height, width):
        raise InputError(
            f"decoys: got {len(sources)} images with an object, decoys of {side} and images of "
            f"{height}×{width}; expected at least 2 objects, and decoys that fit"
        )
    pixels = images.pixels.copy()
    for number, own in enumerate(images.masks):
        random = random_of(images, number, seed, "decoys")
        free = np.ones((height, width), np.bool_) if own is None else ~own
        pasted = 0
        for _ in range(TRIES):
            source = sources[random.integers(len(sources))]
            top, left = random.integers(height - side + 1), random.integers(width - side + 1)
            window = np.s_[..., top : top + side, left : left + side]
            if pasted == count or source == number or not free[window].all():
                continue
            piece, colours = _piece(images, source, side, random)
            pixels[number][window] = np.where(piece, colours, pixels[number][window])
            free[window] = False
            pasted += 1
    return replace(images, name=f"{images.name}/decoys", pixels=pixels)


def inverted(images: ImageSet) -> ImageSet:
    """Photographic negatives: p becomes 1 - p in the 0 … 1 range of a pixel."""
    mean, std = (
        np.array(each, np.float32)[:, None, None]
        for each in (images.preprocessing.mean, images.preprocessing.std)
    )
    return replace(
        images, name=f"{images.name}/inverted", pixels=(1 - 2 * mean) / std - images.pixels
    )


def random_of(images: ImageSet, number: int, seed: int, what: str) -> np.random.Generator:
    """Random numbers for one image that depend on nothing but the seed, the purpose and the image's
    index.
    """
    return np.random.default_rng(
        [seed, int.from_bytes(what.encode(), "big"), int(images.indices[number])]
    )


def _off_centre(mask: Mask, height: int, width: int) -> NDArray[np.intp]:
    """(n, 2) — every (top, left) at which a mask lies whole on a canvas, off its middle pixels; or
    else the corners.
    """
    rows, columns = height - mask.shape[0] + 1, width - mask.shape[1] + 1
    padded = np.pad(mask, ((rows, rows), (columns, columns)))
    covered = np.zeros((rows, columns), np.bool_)
    for row in {(height - 1) // 2, height // 2}:
        for column in {
            (width - 1) // 2,
            width // 2,
        }:  # (row, column) is the mask's (row - top, column - left)
            covered |= padded[row + 1 : row + 1 + rows, column + 1 : column + 1 + columns][
                ::-1, ::-1
            ]
    if covered.all():
        return np.array([(top, left) for top in (0, rows - 1) for left in (0, columns - 1)])
    return np.argwhere(~covered)


def placed(mask: Mask, size: tuple[int, ...], window: Any) -> Mask:
    """A mask moved to a window of a larger one, which is empty elsewhere."""
    moved = np.zeros(size, np.bool_)
    moved[window] = mask
    return moved


def _piece(
    images: ImageSet, source: int, side: int, random: np.random.Generator
) -> tuple[Mask, NDArray[np.float32]]:
    """A square cut around a random pixel of an object: its part of the mask, and its colours."""
    mask = images.masks[source]
    assert mask is not None
    rows, columns = np.nonzero(mask)
    pick = random.integers(len(rows))
    top, left = (
        int(np.clip(place - side // 2, 0, limit - side))
        for place, limit in zip((rows[pick], columns[pick]), mask.shape, strict=True)
    )
    window = np.s_[..., top : top + side, left : left + side]
    return mask[window], images.pixels[source][window]


def _texture(
    pixels: NDArray[np.float32], height: int, width: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """An image made larger by mirroring, with random phases in place of its own: the same spectrum,
    no shapes.
    """
    own_height, own_width = pixels.shape[1:]
    padding = ((0, 0), (0, height - own_height), (0, width - own_width))
    mirrored = np.pad(pixels, padding, mode="symmetric").astype(np.float64)
    noise = np.fft.rfft2(random.standard_normal((height, width)))
    phases = noise / np.maximum(
        np.abs(noise), 1e-12
    )  # one set for all colours, so that they stay together
    phases[0, 0] = 1
    scrambled: NDArray[np.float32] = np.fft.irfft2(
        np.fft.rfft2(mirrored) * phases, s=(height, width)
    ).astype(np.float32)
    return np.clip(
        scrambled, pixels.min(axis=(1, 2), keepdims=True), pixels.max(axis=(1, 2), keepdims=True)
    )


def widen(network: Network, height: int, width: int) -> Network:
    """Make a network take images a multiple of its own size, as if it averaged its last map over
    the whole image.

    Where the first dense layer (or the readout) saw one cell of the last map, it sees the mean over
    a block of the larger one: its weights are repeated over the block and divided by its size.
    """
    channels, own_height, own_width = network.input_shape
    if network.precision != "float32":
        raise InputError(
            "widen: got a network in fixed point, expected float32; widen it before quantising"
        )
    if height % own_height or width % own_width or not height or not width:
        raise InputError(
            f"widen: got {height}×{width}, expected multiples of the network's own input of "
            f"{own_height}×{own_width}"
        )
    block = (height // own_height, width // own_width)
    if block == (1, 1):
        return network
    layers = list(network.layers)
    readout = network.readout
    for number, (layer, shape) in enumerate(zip(layers, network.shapes, strict=False)):
        first, *more = layer.inputs
        if isinstance(first.synapse, Dense):
            over_blocks = partial(_over_blocks, shape=shape, pool=first.synapse.pool, block=block)
            wide = first.weighed(over_blocks)
            layers[number] = replace(layer, inputs=(wide, *more))
            break
    else:
        readout = replace(
            readout, weight=_over_blocks(readout.weight, network.shapes[-1], 1, block)
        )
    return replace(
        network, input_shape=(channels, height, width), layers=tuple(layers), readout=readout
    )


def _over_blocks(
    weight: NDArray[Any],
    shape: tuple[int, int, int],
    pool: int | tuple[int, int],
    block: tuple[int, int],
) -> NDArray[np.float32]:
    """(out, C·h·w) weights on an h×w map -> (out, C·rh·cw) on one (r,
    c) = `block` times as large.
    """
    channels, height, width = shape
    y, x = np.broadcast_to(pool, 2).tolist()
    cells = weight.reshape(len(weight), channels, height // y, width // x)
    cells = cells.repeat(block[0], axis=2).repeat(block[1], axis=3) / np.float32(
        block[0] * block[1]
    )
    return cells.reshape(len(weight), -1).astype(np.float32, copy=False)


def taken_for_one(
    scenes: Scenes, predictions: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images that are taken for one of their two objects, and which of them: (n,) and (n,) of 0 or
    1.
    """
    hits = scenes.labels == predictions[:, None]
    chosen = np.flatnonzero(hits.any(axis=1))
    return chosen, hits[chosen].argmax(axis=1)


def attention(
    setup: Setup,
    raster: RasterReader,
    scenes: Scenes,
    chosen: NDArray[np.int64],
    predicted: NDArray[np.int64],
) -> pd.DataFrame:
    """Share of the energy on the predicted object: image, map, layer, when, value; no row where a
    map has no energy.

    `when` is "early", "late" or "step t", from the image's arrival to the last step that matters.
    """
    found, gamma = [], setup.settings.gamma
    with setup.progress("two objects", len(chosen)) as advance:
        for sample, side in zip(chosen.tolist(), predicted.tolist(), strict=True):
            objects = np.stack([mask for mask in scenes.masks[sample] if mask is not None])[
                [side, 1 - side]
            ]
            for layer in setup.layers(raster):
                first = min(raster.layer(layer).number, raster.steps_that_matter(layer) - 1)
                maps = {
                    SAM: sam_maps(raster, layer, sample, gamma),
                    COUNT: count_maps(raster, layer, sample),
                }
                for kind, of_kind in maps.items():
                    by_time = shares(energy_on(of_kind[first:], objects), first)
                    found += [
                        (sample, kind, layer, when, float(share)) for when, share in by_time.items()
                    ]
            advance(1)
    return pd.DataFrame(found, columns=["image", "map", "layer", "when", "value"]).dropna()


def energy_on(maps: NDArray[np.float32], objects: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over each object's pixels: maps (T, h, w), resized bilinearly, and (K, H, W) bool -> (T,
    K).
    """
    resized = resize_map(maps, objects.shape[1:])
    return np.stack([resized[:, where].mean(axis=1) for where in objects], axis=1)


def shares(energies: NDArray[np.float64], first: int) -> dict[str, NDArray[np.float64]]:
    """Energy (..., T', 2) on the predicted object as a share of that on both, (...); NaN where both
    are zero.

    By "early" and "late", the first and last third, and "step t", counted from `first` on.
    """
    steps = energies.shape[-2]
    third = max(1, steps // 3)
    windows = {
        "early": energies[..., :third, :].sum(axis=-2),
        "late": energies[..., -third:, :].sum(axis=-2),
    }
    windows |= {f"step {first + step}": energies[..., step, :] for step in range(steps)}
    totals = {when: of_window.sum(axis=-1) for when, of_window in windows.items()}
    return {
        when: np.divide(
            windows[when][..., 0], total, out=np.full(total.shape, np.nan), where=total > 0
        )
        for when, total in totals.items()
    }
