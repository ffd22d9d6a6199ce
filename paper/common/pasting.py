"""Images in which a guess at the centre finds nothing: pasted anywhere on a canvas, or among decoys.

Masks move with their objects. Everything is a function of the images and a seed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from paper.common.images import ImageSet
from spikesam.recordings.errors import InputError

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
TRIES = 200  # places looked at for a decoy


def paste(images: ImageSet, height: int, width: int, seed: int, fill: Literal["mean", "texture"] = "mean") -> ImageSet:
    """Every image whole, at a random place of a larger canvas, where its object is not at the canvas's centre.

    On a canvas less than three times as wide, an image placed anywhere mostly covers the centre. So only places are
    drawn at which the object does not cover it. An object that fills its image goes into a random corner.

    Parameters
    ----------
    height, width : of the canvas
    fill : what surrounds the image. "mean": the colour that preprocessing makes 0, which causes no input spike.
        "texture": another image of the set, mirrored to the canvas's size, with scrambled phases. It has the colours
        and the spectrum of a real image, but no object
    """
    own_height, own_width = images.size
    if height < own_height or width < own_width:
        raise InputError(
            f"paste: got a canvas of {height}×{width}, expected at least the images' {own_height}×{own_width}"
        )
    canvases = np.zeros((len(images), 3, height, width), np.float32)
    masks: list[Mask | None] = []
    for number, (pixels, mask) in enumerate(zip(images.pixels, images.masks, strict=True)):
        random = random_of(images, number, seed, "paste")
        places = _off_centre(np.ones(images.size, np.bool_) if mask is None else mask, height, width)
        place: Any = random.choice(places)
        top, left = place
        if fill == "texture":
            other = images.pixels[(number + 1 + random.integers(max(1, len(images) - 1))) % len(images)]
            canvases[number] = _texture(other, height, width, random)
        window = np.s_[..., top : top + own_height, left : left + own_width]
        canvases[number][window] = pixels
        masks.append(None if mask is None else placed(mask, (height, width), window))
    return replace(images, name=f"{images.name}/pasted-{fill}", pixels=canvases, masks=tuple(masks))


def with_decoys(images: ImageSet, count: int, side: int, seed: int) -> ImageSet:
    """Pieces of the objects of other images, as bright as theirs, pasted beside every object.

    Where the object is the brightest thing in its image, brightness alone finds it; among decoys it no longer does.

    Parameters
    ----------
    images : with masks; where one is unknown, decoys may lie anywhere
    count : decoys per image; fewer where the object leaves no room
    side : pixels of the square that a piece is cut with
    """
    height, width = images.size
    sources = [number for number, mask in enumerate(images.masks) if mask is not None and mask.any()]
    if len(sources) < 2 or not 1 <= side <= min(height, width):
        raise InputError(
            f"decoys: got {len(sources)} images with an object, decoys of {side} and images of {height}×{width}; "
            "expected at least 2 objects, and decoys that fit"
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
        np.array(each, np.float32)[:, None, None] for each in (images.preprocessing.mean, images.preprocessing.std)
    )
    return replace(images, name=f"{images.name}/inverted", pixels=(1 - 2 * mean) / std - images.pixels)


def random_of(images: ImageSet, number: int, seed: int, what: str) -> np.random.Generator:
    """Random numbers for one image that depend on nothing but the seed, the purpose and the image's index."""
    return np.random.default_rng([seed, int.from_bytes(what.encode(), "big"), int(images.indices[number])])


def _off_centre(mask: Mask, height: int, width: int) -> NDArray[np.intp]:
    """(n, 2) — every (top, left) at which a mask lies whole on a canvas, off its middle pixels; or else the corners."""
    rows, columns = height - mask.shape[0] + 1, width - mask.shape[1] + 1
    padded = np.pad(mask, ((rows, rows), (columns, columns)))
    covered = np.zeros((rows, columns), np.bool_)
    for row in {(height - 1) // 2, height // 2}:
        for column in {(width - 1) // 2, width // 2}:  # (row, column) is the mask's (row - top, column - left)
            covered |= padded[row + 1 : row + 1 + rows, column + 1 : column + 1 + columns][::-1, ::-1]
    if covered.all():
        return np.array([(top, left) for top in (0, rows - 1) for left in (0, columns - 1)])
    return np.argwhere(~covered)


def placed(mask: Mask, size: tuple[int, ...], window: Any) -> Mask:
    """A mask moved to a window of a larger one, which is empty elsewhere."""
    moved = np.zeros(size, np.bool_)
    moved[window] = mask
    return moved


def _piece(images: ImageSet, source: int, side: int, random: np.random.Generator) -> tuple[Mask, Floats]:
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


def _texture(pixels: Floats, height: int, width: int, random: np.random.Generator) -> Floats:
    """An image made larger by mirroring, with random phases in place of its own: the same spectrum, no shapes."""
    own_height, own_width = pixels.shape[1:]
    padding = ((0, 0), (0, height - own_height), (0, width - own_width))
    mirrored = np.pad(pixels, padding, mode="symmetric").astype(np.float64)
    noise = np.fft.rfft2(random.standard_normal((height, width)))
    phases = noise / np.maximum(np.abs(noise), 1e-12)  # one set for all colours, so that they stay together
    phases[0, 0] = 1
    scrambled: Floats = np.fft.irfft2(np.fft.rfft2(mirrored) * phases, s=(height, width)).astype(np.float32)
    return np.clip(scrambled, pixels.min(axis=(1, 2), keepdims=True), pixels.max(axis=(1, 2), keepdims=True))
