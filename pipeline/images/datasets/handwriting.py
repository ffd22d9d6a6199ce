"""scikit-learn's handwriting: 1,797 digits of 8×8, split once, enlarged and turned in elementwise
float32 alone.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

DIGITS = Path(__file__).with_name("digits.csv.gz")  # from scikit-learn; its licence is beside it
FRACTIONS = {
    "train": (0.0, 0.75),
    "selection": (0.75, 0.85),
    "val": (0.85, 1.0),
}  # of each class's handwriting
NAMES = tuple(map(str, range(10)))
CLASSES = tuple(f"digit-{name}" for name in NAMES)
_KEY = 0x636C7574 << 32  # of the order in which each class's handwriting is split

Floats = NDArray[np.float32]
Tangent = TypeVar("Tangent", float, NDArray[np.float64])


@lru_cache
def handwriting(split: str) -> tuple[Floats, NDArray[np.int64]]:
    """The digits of a split: (n, 14, 14) in 0 … 1 with a margin of 3, and their classes."""
    table = np.loadtxt(DIGITS, delimiter=",")  # of 64 pixels in 0 … 16 and the class
    images, targets = table[:, :-1], table[:, -1].astype(np.int64)
    order = np.random.Generator(np.random.Philox(key=_KEY)).random(len(targets)).argsort()
    start, stop = FRACTIONS[split]
    members_by_class = []
    for digit in range(10):
        of_class = order[targets[order] == digit]
        members_by_class.append(
            of_class[round(start * len(of_class)) : round(stop * len(of_class))]
        )
    members = np.concatenate(members_by_class)
    glyphs = np.pad(
        images[members].reshape(-1, 8, 8).astype(np.float32) / 16, ((0, 0), (3, 3), (3, 3))
    )
    return glyphs, targets[members]


def turn(tangent: Tangent) -> tuple[Tangent, Tangent]:
    """Cosine and sine of an angle from the tangent of its half: no library's rounding in it."""
    return (1 - tangent**2) / (1 + tangent**2), 2 * tangent / (1 + tangent**2)


def render(
    glyphs: Floats,
    side: float,
    tangents: NDArray[np.float64],
    size: int,
    centres: NDArray[np.float64],
) -> Floats:
    """Enlarge and turn handwriting: (n, 14, 14) -> (n, size, size); `tangents` (n,) half angles,
    `centres` (n, 2).
    """
    cosine, sine = (part[:, None, None] for part in turn(tangents))
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) * (8 / side)
    u = (cosine * x + sine * y + centres[:, 0, None, None]).astype(np.float32)
    v = (cosine * y - sine * x + centres[:, 1, None, None]).astype(np.float32)
    u, v = (
        np.clip(u, 1, 11.999),
        np.clip(v, 1, 11.999),
    )  # the margin is empty, so clipping changes nothing
    column, row = u.astype(int), v.astype(int)
    item = np.arange(len(glyphs))[:, None, None] * glyphs[0].size
    flat = np.ascontiguousarray(glyphs).reshape(-1)
    values = np.zeros(u.shape, np.float32)
    across, down = _catmull_rom(u - column), _catmull_rom(v - row)
    for dy in range(4):
        line = np.zeros(u.shape, np.float32)
        start = item + (row + (dy - 1)) * glyphs.shape[2] + (column - 1)
        for dx in range(4):
            line += across[dx] * flat[start + dx]
        values += down[dy] * line
    return np.clip((values - np.float32(0.35)) / np.float32(0.25), 0, 1)


def _catmull_rom(t: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights of the four neighbours for a position `t` in 0 … 1 between the middle two."""
    half = np.float32(0.5)
    return (
        half * t * ((2 - t) * t - 1),
        half * (t * t * (3 * t - 5) + 2),
        half * t * ((4 - 3 * t) * t + 1),
        half * t * t * (t - 1),
    )
