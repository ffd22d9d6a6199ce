"""The two kinds of figure that the experiments draw: grids of maps, and curves with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.drawing.canvas import drawing, overlay

PALETTE = ("#1f5a99", "#c8553d", "#4f8a3c", "#8a5aa8", "#b08900", "#2f8f8f", "#6b6b6b", "#d67fb1", "#111111", "#7fb3e6")
DEPTH = mpl.colormaps["viridis"]
SIDE = 128  # pixels of the long side of a map drawn without its image
MOST_STEPS = 8


@dataclass(frozen=True, eq=False)
class MapRow:
    """One row of a grid.

    Parameters
    ----------
    label : left of it
    maps : (h, w) each, ≥ 0, drawn relative to the largest value in the row; None leaves a cell blank
    image : (H, W, 3) in 0 … 1 to lay them over; None draws them alone
    each : draw every map relative to its own maximum
    """

    label: str
    maps: Sequence[NDArray[np.floating[Any]] | None]
    image: NDArray[np.floating[Any]] | None = None
    each: bool = False


@dataclass(frozen=True, eq=False)
class Curve:
    """A line with its interval; `low` and `high` may be None."""

    label: str
    x: ArrayLike
    mean: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    colour: Any = None
    style: str = "-"


@dataclass(frozen=True, eq=False)
class Panel:
    """Axes with curves; `names` are categories on the x axis, `ticks` the labels of x = 0, 1, … under lines."""

    title: str
    x: str
    y: str
    curves: Sequence[Curve]
    names: Sequence[str] | None = None
    ticks: Sequence[str] | None = None


def draw_maps(path: Path, title: str, subtitle: str, columns: Sequence[str], rows: Sequence[MapRow]) -> None:
    """A grid of maps, with the image first where a row has one."""
    with_images = any(row.image is not None for row in rows)
    shapes = [shown.shape for row in rows for shown in (row.image, *row.maps) if shown is not None]
    tall, wide = max(shapes, key=lambda shape: shape[0] * shape[1])[:2]
    cell = 1.0
    cell_width = cell * min(max(wide / tall, 0.5), 2.5)
    longest = max(len(line) for row in rows for line in row.label.splitlines())
    left, top, gap = max(1.45, 0.3 + 0.07 * longest), 0.85, 0.05
    n_columns = len(columns) + with_images
    with drawing(path, max(left + n_columns * cell_width + 0.75, 5.5), top + len(rows) * cell + 0.1) as canvas:
        canvas.heading(0.15, title, subtitle)
        for column, name in enumerate(columns, with_images):
            canvas.text(left + (column + 0.5) * cell_width - gap / 2, top - 0.06, name, ha="center", fontsize=8.5)
        for number, row in enumerate(rows):
            y = top + number * cell
            canvas.text(left - 0.1, y + (cell - gap) / 2, row.label, ha="right", va="center", linespacing=1.35)
            size = (tall, wide) if row.image is None else row.image.shape[:2]
            if row.image is None:
                factor = max(1, SIDE // max(size))
                size = (size[0] * factor, size[1] * factor)
            else:
                canvas.image(left, y, cell_width - gap, cell - gap, row.image, None)
            largest = max((float(shown.max()) for shown in row.maps if shown is not None), default=0.0)
            for column, shown in enumerate(row.maps, with_images):
                if shown is None:
                    continue
                scale = (float(shown.max()) if row.each else largest) or 1.0
                pixels = overlay(row.image, (shown / scale).astype(np.float32), (size[0], size[1]))
                canvas.picture(left + column * cell_width, y, cell_width - gap, cell - gap, pixels)
        bar = (left + n_columns * cell_width + 0.08, top, min(len(rows) * cell - gap, 3.0))
        canvas.colour_bar(*bar, over_image=with_images)


def draw_curves(path: Path, title: str, subtitle: str, panels: Sequence[Panel]) -> None:
    """Panels side by side; intervals are bands, or bars where the x axis has categories."""
    width, height, left, gap, top = 3.0, 2.3, 0.75, 0.85, 1.05
    lines = [line for curve in panels[-1].curves for line in curve.label.splitlines()]
    legend = 0.6 + 0.07 * max(map(len, lines), default=0)
    total = left + len(panels) * width + (len(panels) - 1) * gap + legend
    with drawing(path, total, top + height + 0.6) as canvas:
        canvas.heading(0.2, title, subtitle)
        for number, panel in enumerate(panels):
            axes = canvas.axes(left + number * (width + gap), top, width, height)
            for position, curve in enumerate(panel.curves):
                colour = PALETTE[position % len(PALETTE)] if curve.colour is None else curve.colour
                _draw_curve(axes, curve, colour, panel, position)
            axes.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
            if panel.names is not None:
                axes.set_xticks(range(len(panel.names)), panel.names)
                axes.set_xlim(-0.5, len(panel.names) - 0.5)
            if panel.ticks is not None:
                axes.set_xticks(range(len(panel.ticks)), panel.ticks, rotation=45, ha="right")
            axes.grid(axis="y", color="0.9", linewidth=0.8)
            axes.set_axisbelow(True)
            if number == len(panels) - 1:
                axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.03), frameon=False, borderaxespad=0, fontsize=8)


def thinned(steps: int, most: int = MOST_STEPS, first: int = 0) -> list[int]:
    """At most `most` steps, evenly from `first` to the last of `steps`."""
    return sorted({int(step) for step in np.linspace(min(first, steps - 1), steps - 1, most).round()})


def _draw_curve(axes: Any, curve: Curve, colour: Any, panel: Panel, position: int) -> None:
    x, mean = np.asarray(curve.x, float), np.asarray(curve.mean, float)
    if panel.names is not None:
        x = x + 0.12 * (position - (len(panel.curves) - 1) / 2)
        spread = None
        if curve.low is not None and curve.high is not None:
            spread = np.abs(np.stack([mean - np.asarray(curve.low), np.asarray(curve.high) - mean]))
        axes.errorbar(x, mean, spread, color=colour, fmt="o", markersize=4, capsize=2, linewidth=1.2, label=curve.label)
        return
    axes.plot(x, mean, curve.style, color=colour, label=curve.label, marker="o" if len(x) < 20 else "", markersize=3)
    if curve.low is not None and curve.high is not None:
        axes.fill_between(
            x, np.asarray(curve.low, float), np.asarray(curve.high, float), color=colour, alpha=0.15, lw=0
        )
