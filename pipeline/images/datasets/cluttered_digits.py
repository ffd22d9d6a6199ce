"""Cluttered digits: a bright handwritten digit off the centre of a coloured, textured scene full of
fragments.

After the translated cluttered MNIST of Mnih et al. 2014 (Recurrent models of visual attention),
with nothing to download: the 1,797 handwritten 8×8 digits of scikit-learn, enlarged, turned and
painted. Fragments of other digits of the same split, smaller and dimmer, clutter the background. A
digit's box keeps clear of the scene's centre, so a centred guess of where the digit is always
misses.

Such a digit is the brightest thing in its scene, so that brightness alone points at it. With
`contrast`, the brightness of digit and background is drawn from one law, at least 0.25 apart: the
digit is as often darker as lighter than what is around it, and as often nearer as farther from
medium grey, and fragments are of either polarity. So neither brightness nor the number of a pixel's
input spikes says where the digit is.

A scene is a function of (seed, split, index), drawn in elementwise float32 arithmetic alone: the
same to the bit on every machine.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spikesam.pipeline.images.datasets.base import GeneratedSet, Item, NamedSet, Object
from spikesam.pipeline.images.datasets.handwriting import (
    CLASSES,
    NAMES,
    Floats,
    handwriting,
    render,
    turn,
)

CLUTTERED_DIGITS = "cluttered-digits"
CONTRAST_DIGITS = "contrast-digits"  # the set whose digits have a random contrast and polarity
SIDE = 80  # pixels of a scene
SIDES, SIDES_IN_PAIRS = (28, 40), (28, 34)  # pixels of a digit, alone or with another one
CLEARANCE = 2  # pixels around the scene's centre that a digit's box stays away from
LARGEST_TURN = 0.16  # tan(angle/2), so ±18°
FRAGMENTS, FRAGMENT_SIDE = 9, 17  # how many, pixels
APART, DARKEST, BRIGHTEST = (
    (0.25, 0.55),
    0.12,
    0.88,
)  # brightness of digit and background, with `contrast`
_KEY = 0x636C7574 << 32  # keeps a scene's random numbers apart from those of its Poisson spikes


class ClutteredDigits(GeneratedSet):
    """Scenes of one split: a bright digit, or one of random `contrast`; `Item.others` has a second
    in `pairs`.
    """

    def __init__(
        self, split: str, size: int | None = None, *, contrast: bool = False, pairs: bool = False
    ) -> None:
        self._contrast, self._pairs = contrast, pairs
        name = f"{CONTRAST_DIGITS if contrast else CLUTTERED_DIGITS}/{split}" + (
            "-pairs" if pairs else ""
        )
        super().__init__(name, _KEY, split, size, CLASSES, NAMES)

    def __getitem__(self, position: int) -> Item:
        random = self._random(position, stream=0)
        glyphs, labels = handwriting(self._split)
        chosen, sides = self._digits_in(position, random), SIDES_IN_PAIRS if self._pairs else SIDES
        if self._contrast:
            level, brightness = _levels(random)
            polarity = np.where(random.random(FRAGMENTS) < 0.5, -1.0, 1.0)
        else:
            level, brightness = 0.12 + 0.25 * random.random(), None  # the digit's is drawn with it
            polarity = np.ones(FRAGMENTS)
        scene = _background(random, level)
        _draw_fragments(scene, random, glyphs, level, polarity)
        objects: list[Object] = []
        for digit in chosen:
            candidates = np.flatnonzero(labels == digit)
            glyph = glyphs[candidates[int(random.random() * len(candidates))]]
            ink, (x, y) = _place(random, glyph, sides, [done.box for done in objects])
            height, width = ink.shape
            bright = 0.78 + 0.17 * random.random() if brightness is None else brightness
            colour = _colour(random, bright, saturation=0.5)
            paint = colour + _noise(random, 6)[:height, :width, :1] * np.float32(0.12)
            patch = scene[y : y + height, x : x + width]
            patch += ink[..., None] * (paint - patch)
            mask = np.zeros((SIDE, SIDE), np.bool_)
            mask[y : y + height, x : x + width] = ink >= 0.5
            objects.append(
                Object(digit, (float(x), float(y), float(x + width), float(y + height)), mask)
            )
        pixels = np.rint(np.clip(scene, 0, 1) * np.float32(255)).astype(np.uint8)
        first, *further_objects = objects
        return self._item(
            position, Image.fromarray(pixels), first.box, first.mask, tuple(further_objects)
        )

    def name_of(self, position: int) -> str:
        """See :class:`.base.Dataset`."""
        digits = self._digits_in(position, self._random(position, stream=0))
        return f"{'+'.join(map(str, digits))} (scene {position})"

    def _digits_in(self, position: int, random: np.random.Generator) -> list[int]:
        """The digits of a scene; the second one takes the first number that the scene draws."""
        first = self.labels[position] or 0
        return [first, (first + 1 + int(random.random() * 9)) % 10] if self._pairs else [first]


NAMED = {
    CLUTTERED_DIGITS: NamedSet(ClutteredDigits, generated=True),
    CONTRAST_DIGITS: NamedSet(partial(ClutteredDigits, contrast=True), generated=True),
}


def _place(
    random: np.random.Generator,
    glyph: Floats,
    sides: tuple[int, int],
    taken: list[tuple[float, ...]],
) -> tuple[Floats, tuple[int, int]]:
    """The digit's ink, (h, w) in 0 … 1 within its tight box, and the box's corner (x, y)."""
    side = sides[0] + (sides[1] - sides[0]) * random.random()
    tangent = LARGEST_TURN * (2 * random.random() - 1)
    where = random.random()
    while True:
        ink = render(
            glyph[None], side, np.array([tangent]), int(side * 1.3), np.array([[6.5, 6.5]])
        )[0]
        rows, columns = np.flatnonzero((ink >= 0.5).any(1)), np.flatnonzero((ink >= 0.5).any(0))
        ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        height, width = ink.shape
        y, x = np.mgrid[: SIDE - height + 1, : SIDE - width + 1]
        low, high = SIDE // 2 - CLEARANCE, SIDE // 2 + CLEARANCE
        free = (x + width <= low) | (x >= high) | (y + height <= low) | (y >= high)
        for x0, y0, x1, y1 in taken:
            free &= (x + width < x0) | (x > x1) | (y + height < y0) | (y > y1)
        corners = np.flatnonzero(free)
        if len(corners):
            corner = corners[int(where * len(corners))]
            return ink, (int(x.flat[corner]), int(y.flat[corner]))
        side *= 0.95  # a digit nearly half as wide and high as the scene: make it fit


def _levels(random: np.random.Generator) -> tuple[float, float]:
    """Brightness of the background and of the digit; exchanging both changes nothing in how often
    they occur.
    """
    apart = APART[0] + (APART[1] - APART[0]) * random.random()
    dark = DARKEST + (BRIGHTEST - DARKEST - apart) * random.random()
    return (dark, dark + apart) if random.random() < 0.5 else (dark + apart, dark)


def _draw_fragments(
    scene: Floats,
    random: np.random.Generator,
    glyphs: Floats,
    level: float,
    polarity: NDArray[np.float64],
) -> None:
    """Clutter the scene with pieces of digits, half as large; `polarity` (FRAGMENTS,): 1 is
    brighter, -1 darker.
    """
    draws = random.random((FRAGMENTS, 6))
    pieces = glyphs[(draws[:, 0] * len(glyphs)).astype(int)]
    centres = 4.5 + 4 * draws[:, 1:3]  # of the window on the handwriting, which spans 3 … 10
    ink = render(pieces, 30.0, 2 * draws[:, 3] - 1, FRAGMENT_SIDE, centres)
    for alpha, draw, sign in zip(ink, draws, polarity.tolist(), strict=True):
        x, y = (int(u * (SIDE - FRAGMENT_SIDE + 1)) for u in draw[4:])
        colour = _colour(random, level + sign * (0.06 + 0.14 * random.random()), saturation=0.4)
        patch = scene[y : y + FRAGMENT_SIDE, x : x + FRAGMENT_SIDE]
        patch += alpha[..., None] * (colour - patch)


def _background(random: np.random.Generator, level: float) -> Floats:
    """(80, 80, 3): a colour, slow and fast coloured noise, and stripes."""
    scene = _colour(random, level, saturation=0.35) + _noise(random, 4) * np.float32(0.16)
    scene += _noise(random, 16) * np.float32(0.12)
    cosine, sine = turn(2 * random.random() - 1)
    frequency = 1 / (5 + 9 * random.random())
    along = np.arange(SIDE, dtype=np.float32)
    phase = along * np.float32(cosine * frequency) + (along * np.float32(sine * frequency))[:, None]
    stripes = np.abs(phase - np.floor(phase) - np.float32(0.5)) * np.float32(4) - np.float32(1)
    return scene + (stripes * np.float32(0.08 * random.random()))[..., None]


def _colour(random: np.random.Generator, brightness: float, saturation: float) -> Floats:
    """A random colour (3,) of about that brightness."""
    hue = random.random(3)
    grey = 0.299 * hue[0] + 0.587 * hue[1] + 0.114 * hue[2]
    return np.clip(brightness + saturation * (hue - grey), 0, 1).astype(np.float32)


def _noise(random: np.random.Generator, cells: int) -> Floats:
    """(80, 80, 3) in ±0.5: random numbers at (cells + 1)² corners, linear in between."""
    grid = random.random((cells + 1, cells + 1, 3), dtype=np.float32) - np.float32(0.5)
    position = np.arange(SIDE, dtype=np.float32) * np.float32(cells / SIDE)
    low = position.astype(int)
    weight = position - low
    rows = grid[low] + weight[:, None, None] * (grid[low + 1] - grid[low])
    return rows[:, low] + weight[:, None] * (rows[:, low + 1] - rows[:, low])
