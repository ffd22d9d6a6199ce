"""A grid of maps over images, for all pictures that show more than one map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from spikesam.pipeline.drawing.canvas import GREY, MARGIN, Canvas, drawing, fitted, text_width
from spikesam.pipeline.drawing.subject import Subject
from spikesam.pipeline.images.preprocessing import Box
from spikesam.pipeline.measures.maps import resize_map

Image = NDArray[np.floating[Any]]  # (H, W, 3) in 0 … 1
Heat = NDArray[np.floating[Any]]  # (h, w)

HEAT = mpl.colors.ListedColormap(
    mpl.colormaps["inferno"](np.linspace(0.2, 1, 256))
)  # black would look like shadow
FRAME = "#35e0ff"
PALE = np.full((1, 1, 3), 0.95)
TAG: Any = {
    "fontsize": 7,
    "color": "white",
    "bbox": {"facecolor": "black", "alpha": 0.55, "pad": 1.5, "linewidth": 0},
}
HEADING: Any = {"fontsize": 8.5}
CAPTION: Any = {"fontsize": 10, "fontweight": "bold"}
ALONE = 128  # pixels of the long side of maps drawn without an image, at least
GAP, BAR, LONGEST_BAR = 0.05, 0.75, 3.2  # inches: between cells, for the colour bar, its height
APART, HEADED = (
    0.2,
    0.4,
)  # inches: between columns that stand apart, and above a row with headings of its own
HATCHING: Any = {"hatch": "/" * 7, "linewidth": 0, "fill": False, "edgecolor": (1, 1, 1, 0.7)}
SMALLEST, LARGEST, ROOM = (
    1.0,
    1.6,
    9.0,
)  # inches: side of a square cell, and of all cells beside each other
ONE_ROW = 2.2  # inches: the largest side of a square cell where there is one row, and nothing aside
ASIDE = 2.4  # inches: side of a square image beside the grid
CURVE = 0.15  # of a cell's height, for a curve


@dataclass(frozen=True, eq=False)
class Cell:
    """A map over an image, or one of both; a pale square if neither is given."""

    heat: Heat | None = None  # in 0 … 1
    image: Image | None = None
    box: Box | None = None  # around the object in the image
    tag: str = ""  # a few letters in the lower left corner
    hatched: NDArray[np.bool_] | None = None  # (h, w), where the map says little about the image
    columns: int = 1  # that it takes
    curves: bool = (
        False  # what the columns of the map sum to stands above it, what its rows sum to beside it
    )

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the image, or else of the map; zeros without both."""
        shown = self.heat if self.image is None else self.image
        return (0, 0) if shown is None else (shown.shape[0], shown.shape[1])


@dataclass(frozen=True, eq=False)
class Row:
    """Cells beside each other, None where nothing is drawn, and a label left of them."""

    label: str
    cells: Sequence[Cell | None]
    headings: Sequence[
        str
    ] = ()  # of the first cells; a row that has some stands apart from the row above


def draw_maps(
    path: Path,
    title: str,
    subtitle: str,
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    colours: Sequence[str] = (),
    apart: int = 0,
    aside: Subject | None = None,
) -> None:
    """Draw and save a grid of rows, at least one, in which a shorter one leaves its last cells
    blank.

    `columns` are headings of the last columns; the first `apart` stand apart. The image of `aside`
    stands left, larger.
    """
    cells = [cell for row in rows for cell in row.cells if cell is not None]
    n_columns = max(
        len(row.cells) + sum(cell.columns - 1 for cell in row.cells if cell) for row in rows
    )
    shapes = [cell.shape for cell in cells if cell.columns == 1] or [
        Cell(image=aside.image if aside else None).shape
    ]
    height, width = np.maximum(max(shapes, key=math.prod), 1)
    enlarged = max(1, ALONE // max(height, width))
    # All cells have one shape, the largest picture's, and an area that depends on how many there
    # are.
    side = min(
        max(ROOM / max(n_columns, len(rows)), SMALLEST),
        ONE_ROW if len(rows) == 1 and aside is None else LARGEST,
    )
    stretch = math.sqrt(min(max(width / height, 0.5), 2))
    cell_width, cell_height = side * stretch, side / stretch
    larger = (0.0, 0.0) if aside is None else (ASIDE * stretch, ASIDE / stretch)
    left = MARGIN + larger[0] + text_width("\n".join(row.label for row in rows)) + 0.15
    lefts = (
        left
        + cell_width * np.arange(n_columns)
        + APART * (apart > 0) * (np.arange(n_columns) >= apart)
    )
    headings = [fitted(name, cell_width - GAP, **HEADING) for name in columns]
    top = 0.7 + 0.15 * max((name.count("\n") + 1 for name in headings if name), default=0)
    tops = (
        top
        + cell_height * np.arange(len(rows))
        + HEADED * np.cumsum([bool(row.headings) for row in rows])
    )
    right, bottom = lefts[-1] + cell_width, max(tops[-1] + cell_height, top + larger[1] + 0.5)
    with drawing(path, title, subtitle, right + BAR, bottom + 0.1) as canvas:
        if aside is not None:
            _draw_aside(canvas, aside, top, *larger)
        for number, name in enumerate(headings):
            x = lefts[n_columns - len(headings) + number] + (cell_width - GAP) / 2
            canvas.text(
                x,
                top - 0.06,
                name,
                ha="center",
                color=colours[number] if colours else "black",
                **HEADING,
            )
        for y, row in zip(tops, rows, strict=True):
            label = {"ha": "right", "va": "center", "linespacing": 1.35}
            canvas.text(left - 0.1, y + (cell_height - GAP) / 2, row.label, **label)
            for x, name in zip(lefts, row.headings, strict=False):
                canvas.text(
                    x + (cell_width - GAP) / 2,
                    y - 0.06,
                    fitted(name, cell_width, **HEADING),
                    ha="center",
                    **HEADING,
                )
            for x, cell in zip(lefts, row.cells, strict=False):
                if cell is not None:
                    place = (
                        x,
                        y,
                        cell_width * cell.columns + APART * (0 < apart < cell.columns) - GAP,
                        cell_height - GAP,
                    )
                    _draw_cell(canvas, cell, place, (height * enlarged, width * enlarged))
        first = next(
            y
            for y, row in zip(tops, rows, strict=True)
            if any(cell and cell.heat is not None for cell in row.cells)
        )
        over_image = any(cell.heat is not None and cell.image is not None for cell in cells)
        _draw_bar(
            canvas,
            right + 0.08,
            first,
            min(tops[-1] + cell_height - first - GAP, LONGEST_BAR),
            over_image,
        )


def overlay(image: Image | None, heat: Heat, size: tuple[int, int]) -> NDArray[np.float64]:
    """A map (h, w) in 0 … 1 over its image, or alone, (H, W, 3) in 0 … 1; low values let the image
    through.
    """
    heat = np.clip(resize_map(heat, size), 0, 1)
    colours: NDArray[np.float64] = HEAT(heat)[..., :3]
    if image is None:
        return colours
    alpha = 0.95 * heat[..., None]
    grey = (image @ np.array([0.299, 0.587, 0.114]))[..., None]
    return (1 - alpha) * (0.5 * grey + 0.2 * image + 0.05) + alpha * colours


def _draw_cell(
    canvas: Canvas, cell: Cell, place: tuple[float, float, float, float], size: tuple[int, int]
) -> None:
    if cell.curves and cell.heat is not None:
        place = _draw_curves(canvas, cell.heat, *place)
    x, y, width, height = place
    if cell.heat is not None:
        finest = tuple(map(max, size, cell.heat.shape))
        canvas.picture(
            *place, overlay(cell.image, cell.heat, finest if cell.image is None else cell.shape)
        )
    else:
        canvas.picture(*place, PALE if cell.image is None else cell.image)
    if cell.box is not None:
        rows, columns = cell.shape
        x0, x1 = (x + side * width / columns for side in cell.box[::2])
        y0, y1 = (y + side * height / rows for side in cell.box[1::2])
        for colour, line in (("black", 3.0), (FRAME, 1.5)):  # an outline that shows on any image
            frame = Rectangle(
                (x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=line
            )
            canvas.sheet.add_artist(frame)  # add_patch would look for limits
    if cell.hatched is not None:
        canvas.sheet.add_artist(PathPatch(_outline(cell.hatched, *place), **HATCHING))
    if cell.tag:
        canvas.text(x + 0.05, y + height - 0.05, cell.tag, **TAG)


def _draw_curves(
    canvas: Canvas, heat: Heat, x: float, y: float, width: float, height: float
) -> Any:
    """Draw what columns sum to above a map, and what rows sum to beside it; the place that is left
    for the map.
    """
    room = CURVE * height
    for axis, begin, length in ((0, x, width - room), (1, y + room, height - room)):
        sums = heat.sum(axis=axis)
        along = begin + length * np.repeat(np.arange(len(sums) + 1), 2) / len(sums)
        up = 0.9 * room * np.pad(np.repeat(sums, 2), 1) / max(sums.max(), np.finfo(np.float32).tiny)
        points = [along, y + room - up] if axis == 0 else [x + width - room + up, along]
        canvas.sheet.add_artist(
            PathPatch(Outline(np.column_stack(points)), linewidth=0, facecolor=GREY)
        )
    return x, y + room, width - room, height - room


def _outline(cells: NDArray[np.bool_], x: float, y: float, width: float, height: float) -> Outline:
    """The chosen cells of a (h, w) map that is stretched to a rectangle."""
    step_y, step_x = height / cells.shape[0], width / cells.shape[1]
    corners = [
        Outline(
            [
                (left, top),
                (left + step_x, top),
                (left + step_x, top + step_y),
                (left, top + step_y),
                (left, top),
            ]
        )
        for top, left in (
            (y + row * step_y, x + column * step_x) for row, column in np.argwhere(cells)
        )
    ]
    return Outline.make_compound_path(*corners)


def _draw_aside(canvas: Canvas, subject: Subject, top: float, width: float, height: float) -> None:
    _draw_cell(
        canvas, Cell(image=subject.image, box=subject.box), (MARGIN, top, width, height), (1, 1)
    )
    caption = fitted(subject.caption, width, **CAPTION)
    below = {"ha": "center", "va": "top", "color": subject.colour}
    canvas.text(MARGIN + width / 2, top + height + 0.08, caption, **below, **CAPTION)


def _draw_bar(canvas: Canvas, x: float, y: float, height: float, over_image: bool) -> None:
    """The colours of maps from 0 to 1, over medium grey where maps lie over images."""
    ramp = np.linspace(1, 0, 256)[:, None]
    grey = np.full((256, 1, 3), 0.5) if over_image else None
    canvas.picture(x, y, 0.13, height, overlay(grey, ramp, (256, 1)))
    for level, label, place in ((0, "max", "top"), (0.5, "half", "center"), (1, "0", "bottom")):
        canvas.text(x + 0.18, y + level * height, label, va=place, fontsize=8)
