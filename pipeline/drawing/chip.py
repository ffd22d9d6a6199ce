"""The mesh of a chip: how long each core works, and how many messages reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spikesam.pipeline.drawing.canvas import drawable, drawing

SIDE, GAP = 0.66, 0.35  # inches of a tile; between the two meshes and their scales
SHORT = 6  # characters of a layer's name on a tile
NANO = 1e9


def draw_mesh(path: Path, title: str, subtitle: str, cores: pd.DataFrame) -> None:
    """Draw the tiles that hold neurons, with their cores in squares: `cores` has core, x, y,
    layers, busy and received. The core with the most work has a red edge.
    """
    width, height = int(cores["x"].max()) + 1, int(cores["y"].max()) + 1
    wide, high = SIDE * width, SIDE * height
    panels = (
        ("busy", NANO, "ns of work in a step", "magma"),
        ("received", 1.0, "messages received, a sample", "viridis"),
    )
    step = wide + 1.5 + GAP
    with drawing(path, title, subtitle, 0.5 + step * len(panels), high + 1.7) as canvas:
        for number, (column, factor, label, colours) in enumerate(panels):
            axes = canvas.axes(0.5 + step * number, 0.9, wide, high)
            _draw_cores(axes, cores, cores[column] * factor, colours, (width, height))
            bar = canvas.axes(0.5 + step * number + wide + 0.15, 0.9, 0.15, high)
            axes.figure.colorbar(axes.collections[0], cax=bar, label=label)


def _draw_cores(
    axes: Any, cores: pd.DataFrame, amounts: pd.Series[float], colours: str, size: tuple[int, int]
) -> None:
    """A square for each core: the four of a tile beside and above each other."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    places = cores["core"] % 4
    x, y = cores["x"] + (places % 2) / 2, cores["y"] + (places // 2) / 2
    squares = [Rectangle((left, top), 0.5, 0.5) for left, top in zip(x, y, strict=True)]
    shades = PatchCollection(squares, cmap=colours, edgecolor="white", linewidth=0.8)
    shades.set_array(np.asarray(amounts))
    shades.set_clim(0, max(float(amounts.max()), 1e-12))
    axes.add_collection(shades)
    hottest = int(np.asarray(amounts).argmax())
    axes.add_patch(
        Rectangle((x.iloc[hottest], y.iloc[hottest]), 0.5, 0.5, fill=False, edgecolor="red", lw=2)
    )
    middle = float(amounts.max()) / 2
    for left, top, name, amount in zip(x, y, cores["layers"], amounts, strict=True):
        axes.text(
            *(left + 0.25, top + 0.25, drawable(name[:SHORT])),
            color="white" if amount < middle else "black",
            ha="center",
            va="center",
            fontsize=5.5,
        )
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0), aspect="equal")
    axes.set(xticks=np.arange(size[0]) + 0.5, yticks=np.arange(size[1]) + 0.5)
    axes.set(xticklabels=range(size[0]), yticklabels=range(size[1]))
    axes.set(xlabel="tile x", ylabel="tile y")
