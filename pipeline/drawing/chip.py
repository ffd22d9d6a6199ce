"""The mesh of a chip: how long each core works, and how many messages reach it."""

from __future__ import annotations

from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spikesam.common.text import printable
from spikesam.pipeline.drawing.canvas import drawing

SIDE, GAP = 0.66, 0.35  # inches of a tile; between the two meshes and their scales
KEY, KEY_LINE = 2.2, 0.15  # inches: width of a column of the key, and height of its lines
LONGEST_KEY = 36  # characters
MICRO = 1e6


def draw_mesh(
    path: Path, title: str, subtitle: str, cores: pd.DataFrame, cores_per_tile: int
) -> None:
    """Draw the tiles that hold neurons, with their cores in squares: `cores` has core, x, y,
    layers, busy and received. A number on each core says which layers it holds; a key has their
    names. The core with the most work has a red edge, and that with the most messages.
    """
    width, height = int(cores["x"].max()) + 1, int(cores["y"].max()) + 1
    wide, high = SIDE * width, SIDE * height
    panels = (
        ("busy", MICRO, "µs of work in a step", "magma"),
        ("received", 1.0, "messages received, a sample", "viridis"),
    )
    step = wide + 1.5 + GAP
    names = [*dict.fromkeys(cores["layers"])]
    of_key = int((high + 0.7) / KEY_LINE)  # lines of a column
    key_left = 0.5 + step * len(panels)
    with drawing(
        path, title, subtitle, key_left + KEY * ceil(len(names) / of_key), high + 1.7
    ) as canvas:
        for number, name in enumerate(names):
            key_column, line = divmod(number, of_key)
            text = f"{number + 1}  {printable(name, LONGEST_KEY)}"
            left, above = key_left + KEY * key_column, 0.9 + KEY_LINE * line
            canvas.text(left, above, text, fontsize=7, va="top")
        for number, (column, factor, label, colours) in enumerate(panels):
            axes = canvas.axes(0.5 + step * number, 0.9, wide, high)
            numbers = [names.index(name) + 1 for name in cores["layers"]]
            _draw_cores(axes, cores, numbers, cores[column] * factor, colours, cores_per_tile)
            axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
            axes.set(xticks=np.arange(width) + 0.5, yticks=np.arange(height) + 0.5)
            axes.set(xticklabels=range(width), yticklabels=range(height))
            bar = canvas.axes(0.5 + step * number + wide + 0.15, 0.9, 0.15, high)
            axes.figure.colorbar(axes.collections[0], cax=bar, label=label)


def _draw_cores(
    axes: Any,
    cores: pd.DataFrame,
    numbers: list[int],
    amounts: pd.Series[float],
    colours: str,
    cores_per_tile: int,
) -> None:
    """A square for each core, with its number in the key: those of a tile in rows, as many as there
    are in a row.
    """
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    corners, side = core_corners(cores, cores_per_tile), 1 / _cores_in_a_row(cores_per_tile)
    squares = [Rectangle(corner, side, side) for corner in corners]
    shades = PatchCollection(squares, cmap=colours, edgecolor="white", linewidth=0.8)
    shades.set_array(np.asarray(amounts))
    shades.set_clim(0, max(float(amounts.max()), 1e-12))
    axes.add_collection(shades)
    hottest = int(np.asarray(amounts).argmax())
    axes.add_patch(Rectangle(corners[hottest], side, side, fill=False, edgecolor="red", lw=2))
    middle = float(amounts.max()) / 2
    for (left, top), number, amount in zip(corners, numbers, amounts, strict=True):
        axes.text(
            *(left + side / 2, top + side / 2, str(number)),
            color="white" if amount < middle else "black",
            ha="center",
            va="center",
            fontsize=6.5,
        )
    axes.set(xlabel="tile x", ylabel="tile y")


def core_corners(cores: pd.DataFrame, cores_per_tile: int) -> list[tuple[float, float]]:
    """The upper left corner (x, y) of each core, where a tile is 1 wide and 1 high."""
    places, cores_in_a_row = cores["core"] % cores_per_tile, _cores_in_a_row(cores_per_tile)
    x = cores["x"] + places % cores_in_a_row / cores_in_a_row
    y = cores["y"] + places // cores_in_a_row / cores_in_a_row
    return [*zip(x.tolist(), y.tolist(), strict=True)]


def _cores_in_a_row(cores_per_tile: int) -> int:
    """In rows of how many the cores of a tile are drawn."""
    return ceil(sqrt(cores_per_tile))
