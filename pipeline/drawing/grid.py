"""A grid of maps over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .canvas import drawing, overlay

SIDE = 128  # pixels of the long side of a map drawn without its image


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
    with drawing(
        path, title, subtitle, max(left + n_columns * cell_width + 0.75, 5.5), top + len(rows) * cell + 0.1
    ) as canvas:
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
